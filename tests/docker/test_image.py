"""The image, built from our Dockerfile without a Docker engine, and run as its user.

Slow. Needs root, `buildah`, `debootstrap` and a Python 3.12: the base is a Debian 12 that debootstrap
makes, with this Python in /usr/local. The build and the runs are chroots. The build gets the
settings of pip on this machine as mounts, so they are not in the image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from image_files import ROOT, command_lines
from interpreters import find_interpreter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap and chroot need root"),
    pytest.mark.skipif(
        not (shutil.which("buildah") and shutil.which("debootstrap")),
        reason="needs buildah and debootstrap",
    ),
    pytest.mark.skipif(find_interpreter("3.12") is None, reason="needs a Python 3.12"),
]
IMAGE = "localhost/pipeline:cpu"
LIBRARIES = "ca-certificates,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,zlib1g,libreadline8"
"""Packages for debootstrap, which the image of Python has too."""
QUICK = ["--rows=20000", "--set=models.xgboost.rounds=10", "--set=models.forest.trees=5"]


class Buildah:
    """buildah with a store of its own."""

    def __init__(self, folder: Path) -> None:
        store = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self.base = ["buildah", "--storage-driver", "vfs", *store]

    def __call__(self, *arguments: str | Path) -> str:
        line = [*self.base, *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()

    def running(self, container: str, volume: Path, *command: str, user: str = "") -> list[str]:
        """The command line that runs a command in a container."""
        who = ["--user", user] if user else []
        options = ["--isolation", "chroot", "--volume", f"{volume}:/app/data", *who]
        return [*self.base, "run", *options, container, "--", "entrypoint.sh", *command]


def add_python(root: Path) -> None:
    """Put this machine's Python 3.12 where the image of Python has it."""
    program = find_interpreter("3.12")
    print_prefix = [program, "-c", "import sys; print(sys.base_prefix)"]
    prefix = Path(
        subprocess.run(print_prefix, capture_output=True, text=True, check=True).stdout[:-1]
    )
    library = prefix / "lib" / "python3.12"
    skip = shutil.ignore_patterns("__pycache__", "test", "config-3.12-*", "site-packages")
    shutil.copytree(library, root / "usr/local/lib/python3.12", ignore=skip)
    for path in (prefix / "lib").glob("libpython3*.so*"):
        shutil.copy(path, root / "usr/local/lib", follow_symlinks=False)
    shutil.copy(prefix / "bin" / "python3.12", root / "usr/local/bin")
    (root / "usr/local/bin/python3").symlink_to("python3.12")
    subprocess.run(["chroot", root, "ldconfig"], check=True)


def pip_mounts() -> list[str]:
    """This machine's pip settings, and the local folders they name, as mounts of the build."""
    pip = [sys.executable, "-m", "pip", "config"]
    debug = subprocess.run([*pip, "debug"], capture_output=True, text=True, check=True).stdout
    files = [f for f in re.findall(r"(/\S+), exists: True", debug) if f.endswith("pip.conf")]
    listed = subprocess.run([*pip, "list"], capture_output=True, text=True, check=True).stdout
    paths = [Path(p) for p in re.findall(r"(?:file://)?(/[\w./-]+)", listed)]
    named = {p.parent if p.name == "simple" else p for p in paths}
    found = sorted({*files, *(str(p) for p in named if p.exists() and len(p.parts) > 2)})
    return [word for path in found for word in ("--volume", f"{path}:{path}:ro")]


@pytest.fixture(scope="module")
def buildah(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    buildah = Buildah(folder)
    root = folder / "debian"
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={LIBRARIES}", "bookworm"]
    subprocess.run([*bootstrap, root], check=True, stdout=subprocess.DEVNULL)
    if os.path.ismount(root / "proc"):  # debootstrap's own umount failed once on a busy machine
        subprocess.run(["umount", "--lazy", root / "proc"], check=True)
    add_python(root)
    container = buildah("from", "scratch")
    buildah("add", container, root, "/")
    buildah("commit", "--rm", container, "localhost/debian")
    shutil.rmtree(root)
    started = time.perf_counter()
    buildah(
        "bud", "--isolation", "chroot", "--format", "docker", "--tag", IMAGE,
        "--file", ROOT / "docker" / "Dockerfile", "--build-arg", "BASE=localhost/debian",
        "--build-arg", "VARIANT=cpu",  # buildah 1.28 takes no default for the name of a stage
        *pip_mounts(), ROOT,
    )  # fmt: skip
    print(f"\nbuilt in {time.perf_counter() - started:.0f} s")
    yield buildah
    for made in buildah("containers", "-q").split():
        buildah("rm", made)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def volume(tmp_path):
    """What compose.yaml mounts at /app/data: the flights, and a folder that all may write to."""
    tmp_path.chmod(0o755)
    shutil.copytree(ROOT / "data" / "flights", tmp_path / "data" / "flights")
    (tmp_path / "data" / "runs").mkdir()
    (tmp_path / "data" / "runs").chmod(0o1777)
    yield tmp_path / "data"


def sizes(buildah):
    return {i["names"][0]: i["size"] for i in json.loads(buildah("images", "--json"))}


def test_the_image_is_what_the_dockerfile_says(buildah):
    image = json.loads(buildah("inspect", "--type", "image", IMAGE))
    config = image["Docker"]["config"]
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"] == ["entrypoint.sh"]
    assert config["Cmd"] == ["run", "conf/flights.yaml"]
    assert config["Healthcheck"]["Test"] == ["CMD", "healthcheck.py"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert not any(line.startswith("NVIDIA_REQUIRE_CUDA=") for line in config["Env"])
    print("\nsizes:", sizes(buildah))


def test_nothing_of_the_build_is_left(buildah):
    container = buildah("from", IMAGE)
    root = Path(buildah("mount", container))
    programs = {p.name for d in ("bin", "sbin", "local/bin") for p in (root / "usr" / d).iterdir()}
    programs |= {p.name for p in (root / "opt/pipeline/bin").iterdir()}
    assert not programs & {"pip", "pip3", "gcc", "cc", "make", "git", "buildah"}
    assert {"dask", "pipeline", "entrypoint.sh", "healthcheck.py"} <= programs
    assert not list((root / "opt/pipeline").rglob("site-packages/pip"))
    assert not list((root / "usr/local/lib/python3.12").rglob("pip"))
    for path in pip_mounts()[1::2]:
        left = root / path.split(":")[0].lstrip("/")
        if left.is_file():  # an empty file that a mount lay on
            assert not left.stat().st_size or not left.name.endswith(".conf")
    bom = json.loads((root / "opt/pipeline/sbom.cdx.json").read_text())
    listed = {(re.sub("[-_.]+", "-", c["name"].lower()), c["version"]) for c in bom["components"]}
    (packages,) = (root / "opt/pipeline/lib").glob("python3*/site-packages")
    stems = [p.name.removesuffix(".dist-info").partition("-") for p in packages.glob("*.dist-info")]
    assert listed == {(re.sub("[-_.]+", "-", n.lower()), v) for n, _, v in stems}
    print(f"\n{len(listed)} components in the SBOM")
    sent = {p.relative_to(root / "app").parts[0] for p in (root / "app").rglob("*")}
    assert sent == {"LICENSE", "conf", "data"}
    assert (root / "app/data/flights/flights.parquet").is_file()
    buildah("rm", container)


@pytest.mark.parametrize("user", ["", "12345:12345"])
def test_the_readmes_command_line_runs(buildah, volume, user):
    container = buildah("from", IMAGE)
    command = [*command_lines()["compose pipeline-cpu"][:2], *QUICK, "--json"]
    line = buildah.running(container, volume, *command, user=user)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (run,) = (volume / "runs").iterdir()
    assert run.stat().st_uid == int((user or "1000").split(":")[0])
    assert (run / "report.html").stat().st_size > 10_000
    assert result["metrics"]["models"]["xgboost"]["test"]["roc_auc"] > 0.6
    wrong = subprocess.run(
        buildah.running(container, volume, "run", "no.yaml"), capture_output=True, check=False
    )
    assert wrong.returncode == 2
    buildah("rm", container)


# -- the processes of compose.yaml -----------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def placed(where: str, ports: dict[str, int]) -> list[str]:
    """A command of compose.yaml with this host's loopback and free ports for its names and ports."""
    text = "\n".join(command_lines()[where])
    text = text.replace("tcp://scheduler:8786", f"tcp://127.0.0.1:{ports['8786']}")
    for port, free in ports.items():
        text = re.sub(rf"(?<![\d.]){port}\b", str(free), text)
    return text.replace("--dashboard-address=:", "--dashboard-address=127.0.0.1:").split("\n")


def fetched(port: int, path: str, seconds: float = 60) -> str:
    """What a server says, as soon as it says something."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


def dask_pid(process: subprocess.Popen) -> int:
    """The process that buildah runs."""
    children = psutil.Process(process.pid).children(recursive=True)
    return next(c.pid for c in children if any(a.endswith("/bin/dask") for a in c.cmdline()))


def test_scheduler_workers_and_client_of_the_compose_file(buildah, volume, tmp_path):
    schedule = {"8786": free_port(), "8787": free_port()}
    ports = [schedule["8787"], free_port(), free_port()]
    names = ["scheduler", "worker-1", "worker-2"]
    commands = [placed("compose scheduler-cpu", schedule)]
    commands += [placed("compose worker-cpu", {**schedule, "8788": port}) for port in ports[1:]]
    processes = []
    try:
        for name, port, command in zip(names, ports, commands, strict=True):
            container = buildah("from", IMAGE)
            line = buildah.running(container, volume, *command, "--host", "127.0.0.1")
            log = (tmp_path / f"{name}.log").open("w")
            processes.append(subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True))
            assert fetched(port, "/health") == "ok"
            check = ["python", "/usr/local/bin/healthcheck.py", str(dask_pid(processes[-1]))]
            subprocess.run(buildah.running(container, volume, *check), check=True)
        client = buildah("from", IMAGE)
        command = [*placed("compose pipeline-cpu", schedule), *QUICK, "--set=cluster.workers=2"]
        started = time.perf_counter()
        done = subprocess.run(
            buildah.running(client, volume, *command, "--json"),
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        logs = "\n".join((tmp_path / f"{name}.log").read_text()[-1500:] for name in names)
        assert done.returncode == 0, done.stderr + logs
        print(f"\nthe run on the cluster took {time.perf_counter() - started:.0f} s")
        assert 'dask_scheduler_workers{state="idle"} 2.0' in fetched(schedule["8787"], "/metrics")
        computed = re.findall(
            r"dask_scheduler_tasks_compute_seconds_total\{[^}]*\} (\S+)",
            fetched(schedule["8787"], "/metrics"),
        )
        assert sum(map(float, computed)) > 0.1
        alone = subprocess.run(
            buildah.running(client, volume, "run", "conf/flights.yaml", *QUICK, "--json"),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        far, near = (json.loads(d.stdout)["metrics"]["models"] for d in (done, alone))
        print({m: (far[m]["test"]["roc_auc"], near[m]["test"]["roc_auc"]) for m in near})
        for model in near:
            assert abs(far[model]["test"]["roc_auc"] - near[model]["test"]["roc_auc"]) < 0.02
        for process in processes[::-1]:
            os.kill(dask_pid(process), signal.SIGTERM)
            process.wait(timeout=30)
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
