"""What a command line may do, and what of its log is more than that."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_hook import is_loopback
from hostile_case import Case, Place

MEMORY = 1_000_000_000
"""Bytes of resident memory."""
CPU = {"run": 60, "audit": 60}
"""Seconds of CPU time by command; others end within 10."""
READERS = ("predict", "report", "compare", "runs")
"""Commands that read no file but those of the run folder and what the command line names."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a command that has ended."""

    arguments: Sequence[str]
    answer: Mapping[str, Any]
    """The server's: status, memory, time."""
    records: Sequence[Mapping[str, Any]]
    """The hook's."""
    before: Mapping[str, Any]
    """The case's folder (`tree_state`), and ``after``."""
    after: Mapping[str, Any]
    visitors: int
    """Connections to the attacker's port."""


def judge(case: Case, place: Place, seen: Evidence) -> list[str]:
    """What a case did that it may not; a line each."""
    stderr = (place.root / "stderr").read_text("utf-8", "replace")
    found = list(_end(case, seen.arguments, seen.answer, stderr))
    may_write = writable(place, seen.arguments)
    for record in seen.records:
        if (what := RULES[record["kind"]](record, place, seen.arguments)) is not None:
            found.append(f"{what} ({record['how']} by {' < '.join(record['by'][:4])})")
    for path in sorted(seen.before.keys() | seen.after.keys()):
        was, now = seen.before.get(path), seen.after.get(path)
        if was != now and not may_write(path):
            how = "made" if was is None else "removed" if now is None else "changed"
            found.append(f"on disk: {path} was {how}")
    if seen.visitors:
        found.append(f"the attacker's port had {seen.visitors} visitors")
    return list(dict.fromkeys(found))


def _end(
    case: Case, arguments: Sequence[str], answer: Mapping[str, Any], stderr: str
) -> Iterator[str]:
    if answer["late"]:
        yield f"it was still running after {case.seconds} s"
    elif answer["status"] not in case.statuses:
        yield f"exit status {answer['status']}"
    if "Traceback (most recent call last)" in stderr or "this is a bug in pipeline" in stderr:
        yield f"a traceback: {stderr.strip().splitlines()[-1][:200]}"
    if "out of memory" in stderr or "MemoryError" in stderr or "bad_alloc" in stderr:
        yield "it wanted more memory than the harness gives"
    if answer["memory"] > MEMORY:
        yield f"{answer['memory'] / 1e9:.2f} GB of resident memory"
    limit = CPU.get(arguments[0] if arguments else "", 10)
    if answer["cpu"] > limit:
        yield f"{answer['cpu']:.0f} s of CPU time, more than {limit}"
    if answer["left"]:
        yield "a process of it was still there after it"


# -- files -----------------------------------------------------------------------------------------


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of a command line's option."""
    for i, word in enumerate(arguments):
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def writable(place: Place, arguments: Sequence[str]):
    """A function that tells whether a command line may write to a path."""
    command, work = (arguments or [""])[0], place.work
    folders = [place.root / "tmp"]
    files = [place.root / name for name in ("log.jsonl", "stdout", "stderr")]
    out = option(arguments, "--out")
    if command == "run":
        run = option(arguments, "--resume") or out
        folders += [work / "data" / "runs", *([work / run] if run else [])]
        files.append(work / "data")
    elif command in ("audit", "report"):
        run = work / arguments[1]
        files.append(run / "report.html")
        if command == "audit":
            files += [run / "audit.json", run / ".lock"]
            folders.append(run / "tmp")  # where it refits
    elif out is not None:
        files.append(work / out)
    # what a stranger made a link of does not let a command write where that leads
    folders = [folder.parent.resolve() / folder.name for folder in folders]
    files = [file.parent.resolve() / file.name for file in files]

    def may_write(path: str) -> bool:
        if path in ("/dev/null", "pipe:", "fd:1", "fd:2"):
            return True
        given = Path(path)
        if any(given == folder or given.is_relative_to(folder) for folder in folders):
            return True
        return any(
            given.parent == file.parent
            and (given == file or re.fullmatch(rf"\.{re.escape(file.name)}\.\d+\.tmp", given.name))
            for file in files
        )

    return may_write


def tree_state(root: Path) -> dict[str, Any]:
    """What lies below a folder: kind, size and hash of every file, however it may be reached."""
    found: dict[str, Any] = {}
    for at, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(at, name)
            info = os.lstat(path)
            state: Any = stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode)
            if stat.S_ISREG(info.st_mode):
                state += (info.st_size, info.st_mtime_ns, _hash(path, info.st_size))
            elif stat.S_ISLNK(info.st_mode):
                state += (os.readlink(path),)
            found[path] = state
    return found


def _hash(path: str, size: int) -> str:
    if size > 32 << 20:  # a sparse file of gigabytes
        return ""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# -- records ---------------------------------------------------------------------------------------


Record = Mapping[str, Any]


def _write(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    may_write = writable(place, arguments)
    return None if may_write(record["what"]) else f"wrote to {record['what']}"


def _read(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    may_read = arguments[0] not in READERS or _is_named(record["what"], place, arguments)
    return None if may_read else f"read {record['what']}"


def _unpickle(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    return None if _matches(record["by"], UNPICKLERS) else f"unpickled {record['what']}"


def _spawn(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    return None if _is_own(record) else f"started {record['what']}"


def _code(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    if _is_known_code(record):
        return None
    return f"{record['how']} of code {record['what']} {record.get('source', '')!r}"


def _library(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    what = record["what"]
    return None if what.startswith(LIBRARY_FOLDERS) or "/" not in what else f"loaded {what}"


def _is_named(path: str, place: Place, arguments: Sequence[str]) -> bool:
    """Whether the command line itself leads to the file."""
    given = [os.path.realpath(place.work / word) for word in arguments if "\0" not in word]
    return any(
        Path(path).is_relative_to(word) for word in given if len(word) > len(str(place.root))
    )


def _network(record: Record, place: Place, arguments: Sequence[str]) -> str | None:
    kind, what = record["kind"], record["what"]
    if kind == "unix":
        return f"a Unix socket {what}"
    host, _, port = what.rpartition(":") if kind != "resolve" else (what, "", "")
    if kind == "bind":
        return None if is_loopback(host) or "listen" in place.hosts else f"listened on {what}"
    if record["how"] == "datagram" and _matches(record["by"], ROUTES):
        return None
    named = any(host == own or host.endswith(f".{own}") for own in place.hosts)
    if named or (is_loopback(host) and (int(port or 0) != place.attacker or place.attacker in place.ports)):  # fmt: skip
        return None
    return f"connected to {what}" if kind == "connect" else f"looked {what} up"


def _is_own(record: Record) -> bool:
    """Whether a process is one of the program's workers, or Python's own beside them."""
    words, by = json.loads(record["what"]), record["by"]
    if words == ["uname", "-p"]:  # distributed tells the scheduler what machine it is on
        return any(frame.startswith("site/distributed/versions.py:") for frame in by)
    if not words or os.path.realpath(words[0]) != os.path.realpath(sys.executable):
        return False
    return re.search(r" -c from multiprocessing\.(spawn|resource_tracker) import ", " ".join(words)) is not None  # fmt: skip


def _is_known_code(record: Record) -> bool:
    """Whether code is that of a file of a package, or what a library is known to make."""
    if record["how"] != "compile" and record["what"].startswith(PACKAGES):
        return True
    text = " < ".join(record["by"])
    return any(re.match(pattern, text) for pattern in CODE_MAKERS)


def _matches(by: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(re.match(pattern, by[0]) for pattern in patterns) if by else False


PACKAGES = ("<frozen ", "stdlib/", "site/", "repo/pipeline/", "repo/tests/hostile/")
"""Where code may come from; the folders of a case are none of them."""
LIBRARY_FOLDERS = ("stdlib/", "site/", "/lib/", "/usr/lib", sys.base_prefix)
ROUTES = ("site/distributed/utils.py:_get_ip",)
"""Connects a datagram socket, which sends nothing, to learn this host's address."""
UNPICKLERS = (
    # Messages between the client, the scheduler and the workers of one run: that these are the
    # run's own is what the connections say.
    r"site/distributed/protocol/pickle\.py:loads",
    # Pickles a task, and reads that again, to see whether its token is always the same.
    r"site/dask/tokenize\.py:_normalize_pickle",
    # What a process hands to a worker that it starts, through a pipe.
    r"stdlib/multiprocessing/spawn\.py:_main",
)
CODE_MAKERS = (
    # What a package does while it is imported.
    r"(.* < )?(site|stdlib)/\S+:<module>( < |$)",
    # Annotations of functions and fields, which are texts (`from __future__ import annotations`).
    r"stdlib/typing\.py:(__init__|_evaluate) ",
    r"stdlib/inspect\.py:<dictcomp> < stdlib/inspect\.py:get_annotations ",
    # Methods of classes that are declared by their fields.
    r"stdlib/dataclasses\.py:_create_fn ",
    r"stdlib/collections/__init__\.py:namedtuple ",
    r"site/prometheus_client/decorator\.py:make ",
    # The report's page: a file of the package, never a text of a run.
    r"site/jinja2/environment\.py:(_compile|compile|from_code) < .*site/jinja2/loaders\.py:load ",
    # The marks below the lines of a traceback: the line is parsed, and not run.
    r"stdlib/ast\.py:parse < stdlib/traceback\.py:_extract_caret_anchors_from_line_segment ",
    # A worker loads the program that started it.
    r"<frozen runpy>:_get_code_from_file < <frozen runpy>:run_path < stdlib/multiprocessing/spawn\.py:",
    # The traceback of a task that failed in a worker, put together again.
    r"site/tblib/__init__\.py:as_traceback ",
    # An expression of a config, as Python's syntax tree; to run that would be an event of its own.
    r"stdlib/ast\.py:parse < repo/pipeline/expression/syntax\.py:parse_nodes ",
    # joblib's own "2 * n_jobs".
    r"stdlib/ast\.py:parse < site/joblib/_utils\.py:eval_expr ",
)
RULES: Mapping[str, Callable[[Record, Place, Sequence[str]], str | None]] = {
    "write": _write, "read": _read, "connect": _network, "bind": _network, "resolve": _network,
    "unix": _network, "spawn": _spawn, "start": _spawn, "unpickle": _unpickle, "code": _code,
    "library": _library,
}  # fmt: skip
