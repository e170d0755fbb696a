"""The small programs of the image: its requirements, its entry point and its health check."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from image_files import DOCKER, ROOT


def load(name):
    spec = importlib.util.spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
requirements = load("requirements").requirements
health = load("healthcheck")


def test_requirements_are_the_projects_and_the_extras():
    found = requirements(PROJECT, "gpu", ["s3", "gcs"])
    extras = PROJECT["optional-dependencies"]
    assert found == [*PROJECT["dependencies"], *extras["gpu"], *extras["s3"], *extras["gcs"]]


@pytest.mark.parametrize(
    ("variant", "extras", "words"),
    [("tpu", [], "cpu, gpu, gpu-cu12"), ("cpu", ["s4"], "azure"), ("cpu", ["gpu"], "EXTRAS=gpu")],
)
def test_requirements_refuse_what_is_not_there(variant, extras, words):
    with pytest.raises(SystemExit, match=words):
        requirements(PROJECT, variant, extras)


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("run conf/flights.yaml", "python -m pipeline run conf/flights.yaml"),
        ("--help", "python -m pipeline --help"),
        ("", "python -m pipeline"),
        ("dask scheduler --port 8786", "dask scheduler --port 8786"),
        ("dask cuda worker tcp://a:1", "dask cuda worker tcp://a:1"),
    ],
)
def test_the_entry_point_runs_the_pipeline_or_dask(tmp_path, given, run):
    for name in ("python", "dask"):
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="utf-8")
        fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"
    command = [DOCKER / "entrypoint.sh", *given.split()]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == run


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        ("python3 /opt/pipeline/bin/dask scheduler", "http://127.0.0.1:8787/health"),
        ("init -- entrypoint.sh dask scheduler --port 1", "http://127.0.0.1:8787/health"),
        ("dask scheduler --dashboard-address :90", "http://127.0.0.1:90/health"),
        ("dask worker tcp://s:1 --dashboard-address=:8788", "http://127.0.0.1:8788/health"),
        ("dask cuda worker s:1 --dashboard-address 0.0.0.0:5", "http://127.0.0.1:5/health"),
        ("dask worker tcp://s:1", None),
        ("dask worker tcp://s:1 --dashboard-address", None),
        ("dask worker tcp://s:1 --dashboard-address :0", None),
        ("python -m pipeline run scheduler.yaml", None),
    ],
)
def test_whom_the_health_check_asks(arguments, url):
    assert health.address(arguments.split()) == url


def test_the_health_check_asks_the_server_of_a_process(capsys):
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    words = ["dask", "worker", f"--dashboard-address=:{server.server_port}"]
    process = subprocess.Popen([sys.executable, "-c", "input()", *words], stdin=subprocess.PIPE)
    try:
        time.sleep(0.1)
        assert health.main(str(process.pid)) == 0
        server.shutdown()
        server.server_close()
        assert health.main(str(process.pid)) == 1
        assert "/health" in capsys.readouterr().out
    finally:
        process.communicate(b"\n")
