"""What a fake command does so that the harness sees it: its own tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def open_for_writing(path: str) -> None:
    Path(path).write_text("here")


def open_by_number(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))


def append_through_link(path: str) -> None:
    Path("link").symlink_to(path)
    with open("link", "a", encoding="utf-8") as file:
        file.write("here")


def write_hard_link(path: str) -> None:
    os.link(path, Path(os.environ["TMPDIR"]) / "same")
    with (Path(os.environ["TMPDIR"]) / "same").open("a") as file:
        file.write("here")


def make_folder(path: str) -> None:
    os.mkdir(path)


def rename(path: str) -> None:
    os.rename(path, f"{path}2")


def remove(path: str) -> None:
    os.remove(path)


def truncate(path: str) -> None:
    os.truncate(path, 1)


def change_mode(path: str) -> None:
    os.chmod(path, 0o777)


def write_unseen(path: str) -> None:
    """Write as a C library does, which raises no event."""
    import pyarrow.fs

    with pyarrow.fs.LocalFileSystem().open_output_stream(path) as stream:
        stream.write(b"here")


def connect(host: str, port: str) -> None:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.connect((host, int(port)))


def look_up(host: str) -> None:
    with contextlib.suppress(OSError):
        socket.getaddrinfo(host, 80)


def listen(host: str) -> None:
    with socket.socket() as sock:
        sock.bind((host, 0))


def run_program() -> None:
    subprocess.run(["true"], check=True)


def run_shell() -> None:
    os.system("true")


def fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def leave_process() -> None:
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def start_worker() -> None:
    """Start a process as a run does: what it writes is seen as well."""
    import multiprocessing

    process = multiprocessing.get_context("spawn").Process(target=open_for_writing, args=(os.environ["HOSTILE_WATCHED"] + "/new",))  # fmt: skip
    process.start()
    process.join()
    assert process.exitcode == 0


def unpickle() -> None:
    import pickle

    pickle.loads(b"cbuiltins\nlen\n((ltR.")


def unpickle_frame() -> None:
    import io

    import pandas as pd

    pd.read_pickle(io.BytesIO(b"cbuiltins\nlen\n((ltR."))


def evaluate() -> None:
    eval("1 + 1")


def load_marshal() -> None:
    import marshal

    marshal.loads(marshal.dumps(compile("1", "x", "eval")))


def import_from_here() -> None:
    Path("hostile_module.py").write_text("")
    sys.path.insert(0, os.getcwd())
    __import__("hostile_module")


def load_library() -> None:
    import ctypes

    with contextlib.suppress(OSError):
        ctypes.CDLL(os.path.abspath("evil.so"))


def fill_memory() -> None:
    bytearray(os.urandom(1)) * (1_200 << 20)


def hang() -> None:
    time.sleep(60)


def fail() -> None:
    raise RuntimeError("planted")


def behave() -> None:
    """Do what every command may."""
    (Path(os.environ["TMPDIR"]) / "scratch").write_text("mine")
    Path(os.devnull).write_text("nothing")
    connect("127.0.0.1", "1")
