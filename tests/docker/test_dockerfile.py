"""The Dockerfile by rules that a reader would check, each seen to find a Dockerfile that breaks it."""

from __future__ import annotations

import fnmatch
import re

import pytest
from image_files import DOCKERFILE, ROOT

import pipeline


def instructions(text):
    """(instruction, rest) per line, continuations joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def stages(text):
    found = []
    for name, rest in instructions(text):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def faults(text):
    """What is wrong with a Dockerfile, in words."""
    found = []
    everything, last = instructions(text), stages(text)[-1]
    for name, rest in everything:
        if name == "FROM" and rest.split()[0] != "${BASE}":
            found.append("a base beside BASE")
        if (
            name == "ARG"
            and rest.startswith("BASE=")
            and not re.search(r":\w+-20\d{6}-slim$", rest)
        ):
            found.append("the base is not pinned to a day")
        if name == "RUN":
            found += run_faults(rest)
        if name == "ADD":
            found.append("ADD")
        if name in ("ENTRYPOINT", "CMD") and not rest.startswith("["):
            found.append(f"{name} goes through a shell, which keeps the signals")
    users = [rest for name, rest in last if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        found.append("the user is root, or has no number")
    names = [name for name, _ in last]
    found += [f"no {n}" for n in ("HEALTHCHECK", "ENTRYPOINT", "LABEL", "EXPOSE") if n not in names]
    if any(re.search(r"\bpip\b|venv|gcc|build-essential|-dev\b", r) for n, r in last if n == "RUN"):
        found.append("build tools in the last stage")
    if re.search(r"index-url|https?://|trusted-host", text):
        found.append("an address")
    return found


def run_faults(rest):
    found = []
    if "apt-get install" in rest and "rm -rf /var/lib/apt/lists/*" not in rest:
        found.append("apt lists are left")
    if "apt-get install" in rest and "--no-install-recommends" not in rest:
        found.append("recommended packages are installed")
    for command in re.findall(r"pip(?: --python \S+)? (?:install|wheel)[^&]*", rest):
        if "--no-cache-dir" not in command:
            found.append("pip's cache is left")
        if not re.search(r"-c constraints.txt|==|--no-deps", command):
            found.append("pip installs what is not pinned")
    return found


def test_the_dockerfile_has_no_fault():
    assert faults(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("debian:bookworm-20", "debian:latest-20", None),
        ("bookworm-20260518-slim", "bookworm-slim", "the base is not pinned to a day"),
        ("FROM ${BASE}\n", "FROM debian:12\n", "a base beside BASE"),
        ("USER 1000:1000", "USER 0:0", "the user is root, or has no number"),
        ("USER 1000:1000", "USER 1000:1000\nUSER root", "the user is root, or has no number"),
        (" && rm -rf /var/lib/apt/lists/*", "", "apt lists are left"),
        ("--no-install-recommends ", "", "recommended packages are installed"),
        ("-c constraints.txt -r", "-r", "pip installs what is not pinned"),
        ('"setuptools==${SETUPTOOLS}" "cyclonedx-bom==${CYCLONEDX}"', "setuptools cyclonedx-bom",
         "pip installs what is not pinned"),
        ("--no-cache-dir ", "", "pip's cache is left"),
        ("HEALTHCHECK ", "# ", "no HEALTHCHECK"),
        ("install -y --no-install-recommends ca-", "install -y --no-install-recommends gcc ca-",
         "build tools in the last stage"),
        ('ENTRYPOINT ["entrypoint.sh"]', "ENTRYPOINT entrypoint.sh",
         "ENTRYPOINT goes through a shell, which keeps the signals"),
        ("-r requirements.txt", "-r requirements.txt --index-url x", "an address"),
    ],
)  # fmt: skip
def test_the_rules_find_what_they_are_for(right, wrong, fault):
    assert right in DOCKERFILE
    broken = DOCKERFILE.replace(right, wrong)
    assert fault in faults(broken) if fault else faults(broken) == []


def test_labels_and_version_are_those_of_the_package():
    labels = " ".join(rest for name, rest in instructions(DOCKERFILE) if name == "LABEL")
    for name in ("title", "description", "version", "revision", "licenses", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f"ARG VERSION={pipeline.__version__}\n" in DOCKERFILE


def test_the_image_says_what_is_in_it():
    build = [rest for name, rest in stages(DOCKERFILE)[0] if name == "RUN"]
    made = [i for i, rest in enumerate(build) if "cyclonedx-py environment" in rest]
    (where,) = re.findall(r"-o (\S+) /opt/pipeline/bin/python$", build[made[0]].strip())
    assert made == [len(build) - 1] and "dist/*.whl" in build[-1], "after the package is installed"
    assert where.startswith("/opt/pipeline/") and "COPY --from=build /opt/pipeline " in DOCKERFILE
    assert f'pipeline.sbom="{where}"' in DOCKERFILE


def sent(path, rules):
    """Whether the build gets a path: the last rule of .dockerignore that fits says so."""
    keep = True
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = path.split("/")
        heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        anywhere = rule.startswith("**/") and any(fnmatch.fnmatch(p, pattern) for p in parts)
        if anywhere or any(fnmatch.fnmatch(h, pattern) for h in heads):
            keep = rule.startswith("!")
    return keep


RULES = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_what_is_copied_is_there_and_sent():
    sources = []
    for name, rest in instructions(DOCKERFILE):
        words = [w for w in rest.split() if not w.startswith("--")]
        if name == "COPY" and "--from=" not in rest:
            sources += words[:-1]
    assert {"pyproject.toml", "constraints.txt", "pipeline", "conf", "data/flights"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent(source, RULES), source
    assert sent("pipeline/features/ops/clip.py", RULES)
    assert sent("data/flights/flights.parquet", RULES)


@pytest.mark.parametrize(
    "path",
    [".git/config", "data/runs/a/report.html", "data/mine.csv", "tests/conftest.py", ".env",
     "pipeline/__pycache__/cli.cpython-311.pyc", "conf/__pycache__/x", "docker/compose.yaml"],
)  # fmt: skip
def test_nothing_else_is_sent(path):
    assert not sent(path, RULES)
