"""The harness's `sys.addaudithook`: logs what a process does to files, network, processes and code.

`install` comes before anything else is imported; nothing is logged until `arm`. The hook also stops
what must not leave the machine: a connection beyond the loopback fails as without a network.

What a C library opens or connects to by itself raises no event. `verdict` compares the folders
before and after for that, and every port that an attacker may be at has a listener.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

LOG, WATCHED = "HOSTILE_LOG", "HOSTILE_WATCHED"
"""Environment variables that arm the hook in processes that a case starts (`sitecustomize`)."""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACES = (
    ("stdlib", sysconfig.get_path("stdlib")), ("site", sysconfig.get_path("purelib")),
    ("site", sysconfig.get_path("platlib")), ("repo", ROOT),
)  # fmt: skip
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SKIPPED = ("<frozen importlib", "stdlib/pickle.py", "stdlib/importlib/")
DEPTH = 14
"""Frames that a record names."""

_state: dict[str, Any] = {"log": None, "watched": ""}
_busy = threading.local()
_seen: set[tuple[Any, ...]] = set()


def install() -> None:
    """Add the hook, and see the one way to start a process that raises no event."""
    import _posixsubprocess

    sys.addaudithook(_hook)
    fork_exec = _posixsubprocess.fork_exec

    def seen(args: Any, executables: Any, *more: Any) -> int:
        sys.audit("hostile.fork_exec", [os.fsdecode(word) for word in args])
        return fork_exec(args, executables, *more)

    _posixsubprocess.fork_exec = seen


def arm(log: str, watched: str) -> None:
    """Log from now on.

    Args:
        log: JSON lines are appended to this file.
        watched: a folder; reading a file below it is logged too.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    _seen.clear()
    _state.update(watched=watched + os.sep, log=handle)


def disarm() -> None:
    """Log nothing more, and close the log."""
    handle, _state["log"] = _state["log"], None
    if handle is not None:
        os.close(handle)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    handler = HANDLERS.get(event)
    if handler is None or _state["log"] is None or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        handler(event, args)
    finally:
        _busy.now = False


def _record(kind: str, how: str, what: str, **more: Any) -> None:
    by = list(_callers())
    key = (kind, how, what, *by[:3])
    if key in _seen:
        return
    _seen.add(key)
    found = {"kind": kind, "how": how, "what": what, "by": by, "pid": os.getpid(), **more}
    os.write(_state["log"], (json.dumps(found, default=repr) + "\n").encode())


def _caller() -> FrameType | None:
    """The frame that raised the event; None where that is Python itself."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _callers() -> Iterator[str]:
    """The nearest frames, ``site/pandas/io/common.py:get_handle``; importlib's are left out."""
    frame, count = _caller(), 0
    while frame is not None and count < DEPTH:
        code = frame.f_code
        name = short(code.co_filename)
        if not name.startswith(SKIPPED):
            yield f"{name}:{code.co_name}"
            count += 1
        frame = frame.f_back


def short(path: str) -> str:
    """A file's path from ``stdlib``, ``site`` (packages) or ``repo``; others as they are."""
    for name, folder in sorted(PLACES, key=lambda place: -len(place[1])):
        if path.startswith(folder + os.sep):
            return name + path[len(folder) :]
    return path


# -- files -----------------------------------------------------------------------------------------


def _resolved(path: Any, at: Any = None, *, follow: bool = True) -> str:
    """The path without links; the last name is one itself where ``follow`` is off."""
    if isinstance(path, int):
        try:
            return os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return f"fd:{path}"
    text = os.fsdecode(path)
    if isinstance(at, int) and at >= 0 and not os.path.isabs(text):
        text = os.path.join(os.readlink(f"/proc/self/fd/{at}"), text)
    try:
        if follow:
            return os.path.realpath(text)
        parent, name = os.path.split(text.rstrip("/"))
        return os.path.join(os.path.realpath(parent), name)
    except (OSError, ValueError):
        return text


def _open(event: str, args: tuple[Any, ...]) -> None:
    path, mode, flags = args
    if not isinstance(path, str | bytes | os.PathLike):
        return
    writes = flags & WRITE_FLAGS if isinstance(flags, int) else set(mode or "") & set("wax+")
    follow = not (isinstance(flags, int) and flags & os.O_NOFOLLOW)
    found = _resolved(path, follow=follow)
    if writes:
        _record("write", "open", found)
    elif found.startswith(_state["watched"]):
        _record("read", "open", found)


def _change(event: str, args: tuple[Any, ...]) -> None:
    """One path, which is followed or not, as the system call does it."""
    follow = event in ("os.chmod", "os.chown", "os.utime", "os.truncate", "os.setxattr")
    at = args[-1] if event in ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime") else None  # fmt: skip
    path = _resolved(args[0], at, follow=follow)
    if event != "os.mkdir" or not os.path.lexists(path):  # `mkdir` of a folder that is there fails
        _record("write", event, path)


def _move(event: str, args: tuple[Any, ...]) -> None:
    if event == "os.symlink":
        _record("write", event, _resolved(args[1], args[2], follow=False))
        return
    if event == "os.rename":
        _record("write", event, _resolved(args[0], args[2], follow=False))
    _record("write", event, _resolved(args[1], args[3], follow=False))


# -- network ---------------------------------------------------------------------------------------


def is_loopback(host: Any) -> bool:
    """Whether a host, as connected to or looked up, is this one."""
    text = os.fsdecode(host) if isinstance(host, bytes) else str(host or "localhost")
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text in ("localhost", "ip6-localhost", socket.gethostname())
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _socket(event: str, args: tuple[Any, ...]) -> None:
    sock, address = args[0], args[1]
    if address is None:
        return
    how = event.partition(".")[2]
    if not isinstance(address, tuple):
        if sock.family == socket.AF_UNIX:
            _record("unix", how, repr(address))
        return
    host, port = address[:2]
    datagram = sock.type == socket.SOCK_DGRAM and how == "connect"
    _record("bind" if how == "bind" else "connect", "datagram" if datagram else how, f"{host}:{port}")  # fmt: skip
    if how != "bind" and not datagram and not is_loopback(host):
        raise OSError(errno.ENETUNREACH, "Network is unreachable (the harness)")


def _resolve(event: str, args: tuple[Any, ...]) -> None:
    host = args[0][0] if isinstance(args[0], tuple) else args[0]
    if is_loopback(host):
        return
    host = os.fsdecode(host) if isinstance(host, bytes) else str(host)
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        _record("resolve", event.partition(".")[2], host)
        raise socket.gaierror(
            socket.EAI_NONAME, "Name or service not known (the harness)"
        ) from None


# -- processes and code ----------------------------------------------------------------------------


def _spawn(event: str, args: tuple[Any, ...]) -> None:
    words = args[0] if event == "hostile.fork_exec" else args[1] if len(args) > 1 else args[:1]
    if isinstance(words, str | bytes):
        words = [words]
    _record("spawn", event, json.dumps([os.fsdecode(word) for word in words or ()]))


def _unpickle(event: str, args: tuple[Any, ...]) -> None:
    _record("unpickle", event, f"{args[0]}.{args[1]}")


def _code(event: str, args: tuple[Any, ...]) -> None:
    """Code that is made or run; modules that importlib loads are told by their file."""
    frame = _caller()
    if frame is None:
        return  # the program that the command line names, which `_start` tells
    if frame.f_code.co_filename.startswith("<frozen importlib") and event != "exec":
        return  # a module's file; that it is run is an event of its own
    if event == "marshal.loads":
        what = "bytes"
    elif event == "compile":
        what = str(args[1])
    else:
        what = getattr(args[0], "co_filename", None) or str(args[1] if len(args) > 1 else "")
    _record("code", event, short(what), source=_begin(args[0]) if event == "compile" else "")


def _begin(source: Any) -> str:
    text = source.decode(errors="replace") if isinstance(source, bytes) else source
    return text[:80] if isinstance(text, str) else ""


def _library(event: str, args: tuple[Any, ...]) -> None:
    name = args[1] if event == "import" else args[0]
    if name is not None:
        _record("library", event, short(os.fsdecode(name)))


def _start(event: str, args: tuple[Any, ...]) -> None:
    _record("start", "python", json.dumps(sys.orig_argv))


HANDLERS: dict[str, Callable[[str, tuple[Any, ...]], None]] = {
    "open": _open, "hostile.fork_exec": _spawn, "hostile.start": _start, "import": _library,
    "ctypes.dlopen": _library, "pickle.find_class": _unpickle,
    **dict.fromkeys(("compile", "exec", "marshal.loads", "code.__new__", "function.__new__"), _code),
    **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "os.forkpty", "pty.spawn"), _spawn),
    **dict.fromkeys(("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"), _socket),
    **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"), _resolve),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), _move),
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr", "sqlite3.connect"), _change),
}  # fmt: skip


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records in a log."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]
