"""An HTTP server on the loopback: the store that a config names, with good and hostile answers."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from hostile_case import GOOD


class Store(BaseHTTPRequestHandler):
    """``/good.csv`` is data; other paths are servers that lie."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    do_PUT = do_POST = do_GET

    def answer(self, body: bool) -> None:
        """Answer by the path."""
        url = urlsplit(self.path)
        name, query = url.path.rpartition("/")[2], parse_qs(url.query)
        data, status, headers = GOOD.encode(), 200, {}
        if name.isdigit():
            status, data = int(name), b"no"
        elif name == "away.csv":
            status, headers = 302, {"Location": query["to"][0]}
        elif name == "lies.csv":
            headers = {"Content-Length": str(1 << 40), "Accept-Ranges": "bytes"}
        elif name == "ranges.csv":
            headers = {"Accept-Ranges": "bytes"}
            status, data, more = self.part(data)
            headers |= more
        elif name != "good.csv":
            data = b"\x80\x04cos\nsystem\n(S'true'\ntR."
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)
        if name == "lies.csv":
            self.close_connection = True

    def part(self, data: bytes) -> tuple[int, bytes, dict[str, str]]:
        """The range that is asked for."""
        wanted = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = wanted.partition("-")
        if not first.isdigit():
            return 200, data, {}
        end = min(int(last) if last.isdigit() else len(data) - 1, len(data) - 1)
        more = {"Content-Range": f"bytes {first}-{end}/{len(data)}"}
        return 206, data[int(first) : end + 1], more


def start() -> ThreadingHTTPServer:
    """Serve on a free port of the loopback until `shutdown`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.daemon_threads = True
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
