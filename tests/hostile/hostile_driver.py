"""Runs cases in forks of one server, two at a time, and says what each did that it may not."""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import audit_hook
import hostile_store
from hostile_case import Case, Place
from hostile_verdict import Evidence, judge, tree_state

HERE = Path(__file__).resolve().parent
SLOTS = 2
MEMORY = 4 << 30
"""Bytes of address space that a command may add: the machine survives, and the verdict is 1 GB."""
FILE = 256 << 20
"""Bytes of the largest file that a command may write."""


@dataclass(frozen=True)
class Done:
    """A case that has run."""

    case: Case
    arguments: list[str]
    status: int
    violations: list[str]
    stdout: str
    stderr: str
    memory: int
    cpu: float
    seconds: float
    root: Path

    def text(self) -> str:
        """What a failing test prints."""
        told = "\n".join(f"  {line}" for line in self.stderr.strip().splitlines()[-12:])
        found = "\n".join(f"  - {violation}" for violation in self.violations)
        return (
            f"{self.case.name}: pipeline {' '.join(map(ascii, self.arguments))}\n{found}\n"
            f"  status {self.status}, {self.memory / 1e9:.2f} GB, {self.cpu:.1f} s of CPU\n{told}\n"
            f"  again: python tests/hostile/replay_hostile.py {json.dumps(self.case.name)}"
        )


class Harness:
    """The server, the attacker's ports and the store; ends with the ``with`` block."""

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.folder, self.count = folder, 0
        self.answers: dict[str, queue.Queue[dict]] = {}
        self.guard = threading.Lock()
        self.slots: queue.Queue[socket.socket] = queue.Queue()
        for _ in range(slots):
            self.slots.put(listener())
        self.pool = ThreadPoolExecutor(slots)
        self.done = folder / "base" / "done"

    def __enter__(self) -> Harness:
        home = self.folder / "home"
        home.mkdir(parents=True)
        self.store = hostile_store.start()
        self.server = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "fork_server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment(home, home), cwd=home,
        )  # fmt: skip
        assert self.server.stdout is not None
        ready = self.server.stdout.readline()
        assert json.loads(ready)["id"] == "ready", "the server did not start"
        threading.Thread(target=self._hear, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(60)
        self.store.shutdown()

    def _hear(self) -> None:
        assert self.server.stdout is not None
        for line in self.server.stdout:
            answer = json.loads(line)
            self.answers[answer["id"]].put(answer)

    def make_base(self) -> None:
        """Make the finished run that cases copy, once; it is a case itself."""
        from hostile_runs import base_tree

        if self.done.exists():
            return

        def make(place: Place) -> list[str]:
            place.write_config(base_tree())
            return ["run", "c.yaml", "--out", "done", "-q"]

        base = self.one(Case("the finished run", make), keep=True)
        assert base.status == 0 and not base.violations, base.text()
        os.rename(base.root / "work", self.folder / "base")

    def run(self, cases: Iterable[Case], *, keep: bool = False) -> Iterator[Done]:
        """Run cases; in their order."""
        self.make_base()
        yield from self.pool.map(partial(self.one, keep=keep), cases)

    def one(self, case: Case, keep: bool = False) -> Done:
        """Run a case in a folder of its own, which is removed if nothing is wrong."""
        attacker = self.slots.get()
        try:
            done = self._one(case, attacker)
        finally:
            self.slots.put(attacker)
        if not keep and not done.violations:
            shutil.rmtree(done.root, ignore_errors=True)
        return done

    def _one(self, case: Case, attacker: socket.socket) -> Done:
        with self.guard:
            self.count += 1
            name = str(self.count)
        root = self.folder / name
        place = Place(root, attacker.getsockname()[1], self.store.server_address[1], self.done)
        arguments = case.make(place)
        before = tree_state(root)
        answer = self._ask(name, case, place, arguments)
        records = audit_hook.read(root / "log.jsonl") if (root / "log.jsonl").exists() else []
        seen = Evidence(arguments, answer, records, before, tree_state(root), visitors(attacker))
        violations = judge(case, place, seen)
        texts = [(root / stream).read_text("utf-8", "replace") for stream in ("stdout", "stderr")]
        return Done(
            case, arguments, answer["status"], violations, *texts,
            answer["memory"], answer["cpu"], answer["seconds"], root,
        )  # fmt: skip

    def _ask(self, name: str, case: Case, place: Place, arguments: list[str]) -> dict:
        root, answers = place.root, self.answers.setdefault(name, queue.Queue())
        log, watched = str(root / "log.jsonl"), str(place.victims)
        own = {audit_hook.LOG: log, audit_hook.WATCHED: watched, "HOSTILE_SECRET": "secret-of-the-environment"}  # fmt: skip
        request = {
            "id": name, "arguments": arguments, "cwd": str(place.work), "log": log,
            "watched": watched, "stdout": str(root / "stdout"), "stderr": str(root / "stderr"),
            "environ": environment(root / "home", root / "tmp") | own, "seconds": case.seconds,
            "memory": MEMORY, "file": FILE, "planted": case.planted,
        }  # fmt: skip
        assert self.server.stdin is not None
        with self.guard:
            self.server.stdin.write((json.dumps(request) + "\n").encode())
            self.server.stdin.flush()
        found = answers.get(timeout=case.seconds + 120)
        del self.answers[name]
        return found


def environment(home: Path, scratch: Path) -> dict[str, str]:
    """The variables of the server and of a case: few threads, no credentials, a home of its own."""
    path = os.pathsep.join([str(HERE / "site"), str(HERE.parents[1])])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "TMPDIR": str(scratch),
        "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8",
        "OMP_WAIT_POLICY": "PASSIVE", "MALLOC_ARENA_MAX": "2", "COLUMNS": "200",
        "AWS_ACCESS_KEY_ID": "harness", "AWS_SECRET_ACCESS_KEY": "harness", "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true", **threads,
    }  # fmt: skip


def listener() -> socket.socket:
    """The attacker, who waits for visitors."""
    found = socket.create_server(("127.0.0.1", 0))
    found.setblocking(False)
    return found


def visitors(attacker: socket.socket) -> int:
    """How many have connected since the last look."""
    count = 0
    while True:
        try:
            attacker.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
