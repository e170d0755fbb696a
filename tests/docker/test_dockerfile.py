"""The Dockerfile by rules that a reader would check, each seen to find a Dockerfile that breaks it."""

from __future__ import annotations

import fnmatch
import re

import pytest
from image_files import DOCKERFILE, ROOT

import pipeline
from pipeline.device.probe import CUDA, cuda_text


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
        if name == "FROM" and rest.split()[0] not in ("${BASE}", "${VARIANT}"):
            found.append("a base beside BASE")
        if (
            name == "ARG"
            and rest.startswith("BASE=")
            and not re.search(r"/python:3\.12\.\d+-slim-\w+$", rest)
        ):
            found.append("the base is not pinned to a release of Python 3.12")
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
    runs = [re.sub(r"rm -rf [^&]*", "", rest) for name, rest in last if name == "RUN"]
    if any(re.search(r"\bpip\b|venv|gcc|build-essential|-dev\b", run) for run in runs):
        found.append("build tools in the last stage")
    if not any("/usr/local/bin/pip*" in rest for name, rest in last if name == "RUN"):
        found.append("the base's pip is left")
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
        ("-slim-bookworm", "-slim-trixie", None),
        ("3.12.12-slim", "3.12-slim", "the base is not pinned to a release of Python 3.12"),
        ("FROM ${VARIANT}\n", "FROM debian:12\n", "a base beside BASE"),
        ("USER 1000:1000", "USER 0:0", "the user is root, or has no number"),
        ("USER 1000:1000", "USER 1000:1000\nUSER root", "the user is root, or has no number"),
        ("&& groupadd", "&& apt-get install x && groupadd", "apt lists are left"),
        ("&& groupadd", "&& apt-get install x && groupadd", "recommended packages are installed"),
        (" /usr/local/bin/pip*", "", "the base's pip is left"),
        ("-c constraints.txt -r", "-r", "pip installs what is not pinned"),
        ('"setuptools==${SETUPTOOLS}" "cyclonedx-bom==${CYCLONEDX}"', "setuptools cyclonedx-bom",
         "pip installs what is not pinned"),
        ("--no-cache-dir ", "", "pip's cache is left"),
        ("HEALTHCHECK ", "# ", "no HEALTHCHECK"),
        ("&& groupadd", "&& apt-get install gcc && groupadd", "build tools in the last stage"),
        ('ENTRYPOINT ["entrypoint.sh"]', "ENTRYPOINT entrypoint.sh",
         "ENTRYPOINT goes through a shell, which keeps the signals"),
        ("-r requirements.txt", "-r requirements.txt --index-url x", "an address"),
    ],
)  # fmt: skip
def test_the_rules_find_what_they_are_for(right, wrong, fault):
    assert right in DOCKERFILE
    broken = DOCKERFILE.replace(right, wrong)
    assert fault in faults(broken) if fault else faults(broken) == []


def test_each_variant_asks_for_the_driver_that_its_libraries_need():
    text = "\n".join(" ".join(line) for line in instructions(DOCKERFILE))
    for variant, major in {"gpu": 13, "gpu-cu12": 12}.items():
        asked = f'FROM ${{BASE}} AS {variant}\nENV NVIDIA_REQUIRE_CUDA="cuda>={cuda_text(CUDA[major])}"\n'
        assert asked in text
    assert re.search(r"^FROM \$\{BASE\} AS cpu\nFROM ", text, re.MULTILINE)
    assert {"cpu", "gpu", "gpu-cu12"} == set(
        re.findall(r"^FROM \$\{BASE\} AS (?!build)(\S+)$", text, re.MULTILINE)
    )


def test_what_is_compiled_on_a_gpu_stays_on_the_volume():
    variables = dict(re.findall(r"(\w+)=(\S+)", DOCKERFILE))
    for name in (
        "XDG_CACHE_HOME",
        "CUPY_CACHE_DIR",
        "LIBCUDF_KERNEL_CACHE_PATH",
        "CUDA_CACHE_PATH",
    ):
        assert variables[name].startswith("/app/data/cache")
    assert "install -d -m 1777 /app/data/runs /app/data/cache\n" in DOCKERFILE


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
