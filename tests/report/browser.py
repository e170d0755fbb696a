"""A headless Chromium, driven through its DevTools protocol with the websocket of tornado."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tornado.websocket import websocket_connect

CHROMIUM = next(
    (
        p
        for n in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (p := shutil.which(n))
    ),
    None,
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-port=0", "about:blank",
)  # fmt: skip
PATIENCE = 60  # seconds: a busy machine of two cores is slow to start a browser


@dataclass
class Visit:
    """What happened while a page was open."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: dict = field(default_factory=dict)


@contextmanager
def started(profile: Path):
    """A browser; yields the port of its DevTools."""
    command = [CHROMIUM, f"--user-data-dir={profile}", *FLAGS]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield _port(profile, process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def visit(port, page: Path, questions, *, width, height=900, dark=False, shot=None):
    """Opens the page in a new tab; evaluates JavaScript ``questions`` once its charts are drawn."""
    return asyncio.run(_visit(port, page, questions, (width, height), dark=dark, shot=shot))


def _port(profile, process):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, f"Chromium ended with status {process.returncode}"
        try:
            return int((profile / "DevToolsActivePort").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            time.sleep(0.05)
    raise TimeoutError("Chromium did not open its port")


async def _visit(port, page, questions, size, *, dark, shot):
    new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
    with urllib.request.urlopen(new) as found:
        address = json.load(found)["webSocketDebuggerUrl"]
    socket, seen, sent = await websocket_connect(address, max_message_size=2**28), Visit(), 0

    async def call(method, **params):
        nonlocal sent
        sent += 1
        await socket.write_message(json.dumps({"id": sent, "method": method, "params": params}))
        while True:
            answer = json.loads(await asyncio.wait_for(socket.read_message(), PATIENCE))
            if answer.get("id") == sent:
                assert "error" not in answer, answer
                return answer["result"]
            _note(answer, seen)

    async def ask(expression):
        answer = await call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    for domain in ("Page", "Runtime", "Log", "Network"):
        await call(f"{domain}.enable")
    await call(
        "Emulation.setDeviceMetricsOverride",
        width=size[0], height=size[1], deviceScaleFactor=1, mobile=size[0] < 600,
    )  # fmt: skip
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    await call("Emulation.setEmulatedMedia", features=[scheme])
    await call("Page.navigate", url=page.resolve().as_uri())
    until = time.monotonic() + PATIENCE
    while not await ask("document.body !== null && document.body.dataset.charts !== undefined"):
        assert time.monotonic() < until, f"the charts were not drawn: {seen.errors}"
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # the charts settle their sizes after they are embedded
    seen.answers = {name: await ask(text) for name, text in questions.items()}
    if shot:
        picture = await call("Page.captureScreenshot", captureBeyondViewport=True)
        Path(shot).write_bytes(base64.b64decode(picture["data"]))
    await call("Page.close")
    socket.close()
    return seen


def _note(event, seen):
    method, params = event.get("method"), event.get("params", {})
    if method == "Runtime.exceptionThrown":
        seen.errors.append(json.dumps(params["exceptionDetails"])[:500])
    elif method == "Runtime.consoleAPICalled" and params["type"] in {"error", "assert", "warning"}:
        seen.errors.append(json.dumps(params["args"])[:500])
    elif method == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
        seen.errors.append(params["entry"]["text"])
    elif method == "Network.requestWillBeSent":
        seen.requests.append(params["request"]["url"][:80])
