"""Files of HTTP servers on loopback: with ranges, without, and servers that refuse."""

import base64
import contextlib
import gzip
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import urlsplit

import pandas as pd
import pytest

from pipeline.__main__ import run_command_line
from pipeline.config.loader import redact
from pipeline.config.model import Source
from pipeline.errors import InputError, MachineError
from pipeline.ingest.sources import files, filesystems, http_files

pytest.importorskip("aiohttp")
CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (i % 9, i % 2) for i in range(300))


def lie(self, path, asked):
    """Answers another range than was asked for, or more."""
    data = {"bomb": gzip.compress(bytes(1 << 20)), "short": b"x,y"}.get(
        path.split("-")[-1].partition("/")[0], CSV
    )
    self.send_response(200 if "whole" in path else 206)
    total = asked.replace(f"/{len(CSV)}", "/99") if "other" in path else asked
    self.send_header("Content-Range", total)
    if "bomb" in path:
        self.send_header("Content-Encoding", "gzip")
    if "endless" not in path:
        self.send_header("Content-Length", str(len(data)))
    self.end_headers()
    self.close_connection = True
    with contextlib.suppress(ConnectionError):
        self.wfile.write(data)
        while "endless" in path:
            self.wfile.write(bytes(1 << 16))


def redirect(self, url):
    self.send_response(302)
    self.send_header("Location", url)
    self.send_header("Content-Length", "0")
    self.end_headers()


@pytest.fixture
def server(tmp_path):
    """A server whose paths say how it behaves; ``seen`` are its requests."""
    pd.DataFrame({"x": range(300), "y": [0, 1] * 150}).to_parquet(tmp_path / "a.parquet")
    parquet = (tmp_path / "a.parquet").read_bytes()
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            place = urlsplit(self.path)
            seen.append(
                (
                    place.path,
                    place.query,
                    self.headers.get("Authorization"),
                    self.headers.get("Range"),
                )
            )
            if status := re.match(r"/status/(\d+)", place.path):
                self.send_error(int(status[1]))
                return
            data = {".csv": CSV, ".parquet": parquet}.get(place.path[place.path.rfind(".") :], b"")
            data = b"" if "empty" in place.path else data
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if "redirects" in place.path:
                redirect(self, f"http://{place.path[len('/redirects/') : -len('.csv')]}/a.csv")
                return
            if asked and asked[0] != "bytes=0-0" and "lying" in place.path:
                lie(self, place.path, f"bytes {asked[1]}-{asked[2]}/{len(data)}")
                return
            if asked and "ranges" in place.path:
                start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
                data = data[start:stop]
            else:
                self.send_response(200)
            if "tagged" in place.path:
                self.send_header("ETag", '"v1"')
            if "chunked" in place.path:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
                return
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data)

        do_HEAD = None

        def log_message(self, *args):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{web.server_port}", port=web.server_port, seen=seen
    )
    web.shutdown()
    web.server_close()


@pytest.mark.parametrize(
    "kind", ["ranges", "whole", "whole-chunked", "whole-tagged", "ranges-tagged"]
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_are_read_with_and_without_ranges(server, kind, ending, tmp_path, capsys):
    url = f"{server.url}/{kind}/a.{ending}"
    run = ["run", "--data", url, "--target", "y", "--out", str(tmp_path / "run"), "--no-dashboard",
           "--set", "models={xgboost: {rounds: 2}}", "--set", "refit=never", "--quiet"]  # fmt: skip
    assert run_command_line(run) == 0, capsys.readouterr().err
    bodies = [asked for *_, asked in server.seen if asked is None]
    assert len(bodies) == (0 if "ranges" in kind else 1)  # downloaded once


def test_a_file_is_described_by_tag_or_hash(server):
    def find(path):
        return files.find_files(Source(path=(f"{server.url}/{path}",)))[0]

    assert find("whole-tagged/a.csv").fingerprint == find("ranges-tagged/a.csv").fingerprint == "v1"
    assert len(find("whole/a.csv").fingerprint) == 64
    assert {find(f"{kind}/a.csv").size for kind in ("whole", "ranges", "whole-chunked")} == {
        len(CSV)
    }
    assert find("whole/a.csv").format == "csv"


def test_a_download_is_bounded(server, monkeypatch):
    monkeypatch.setattr(http_files, "LARGEST", 100)
    with pytest.raises(InputError, match=r"(?s)sends no ranges.*download it"):
        files.find_files(Source(path=(f"{server.url}/whole-bounded/a.csv",)))


@pytest.mark.parametrize("lie", ["bomb", "short", "other", "whole"])
def test_another_range_than_was_asked_for_is_refused(server, lie):
    path = f"{server.url}/ranges-lying-{lie}/a.csv"
    with (
        pytest.raises(InputError, match="sent other bytes"),
        filesystems.open_file(path, {}) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "a..b", "a" * 64, "[::::]"])
def test_a_redirect_to_what_is_no_address_is_refused(server, host):
    with pytest.raises(InputError, match="is not a valid address"):
        files.find_files(Source(path=(f"{server.url}/redirects/{host}.csv",)))


def test_no_more_is_read_of_an_answer_than_was_asked_for(server):
    with filesystems.open_file(f"{server.url}/ranges-lying-endless/a.csv", {}) as stream:
        assert stream.read() == CSV


def test_a_file_of_ranges_reads_as_a_local_one(server, monkeypatch):
    monkeypatch.setattr(http_files, "BLOCK", 100)
    with filesystems.open_file(f"{server.url}/ranges/a.csv", {}) as stream:
        assert stream.read(3) == CSV[:3] and stream.tell() == 3
        assert stream.seek(-10, 2) == len(CSV) - 10 and stream.read() == CSV[-10:]
        assert stream.read() == b"" and stream.seek(len(CSV) + 9) and stream.read(1) == b""
        assert stream.seek(0) == 0 and stream.read() == CSV
        assert stream.seek(7) == 7 and stream.read(250) == CSV[7:257]


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (403, InputError, "the server refuses it"), (401, InputError, "the server refuses it"),
        (404, InputError, "there is no"), (410, InputError, "there is no"), (400, InputError, "HTTP 400"),
        (429, MachineError, "cannot be read now"), (500, MachineError, "HTTP 500"),
        (503, MachineError, "try again"),
    ],
)  # fmt: skip
def test_a_refusal_is_named(server, status, kind, told):
    with pytest.raises(kind, match=told) as caught:
        files.find_files(Source(path=(f"{server.url}/status/{status}.csv",)))
    assert f"HTTP {status}" in str(caught.value)


def test_a_server_that_does_not_answer(server):
    with pytest.raises(MachineError, match="cannot be reached"):
        files.find_files(Source(path=("http://127.0.0.1:9/a.csv",)))


@pytest.mark.parametrize("path", ["ranges/*.csv", "ranges/"])
def test_a_server_has_no_folders(server, path):
    with pytest.raises(InputError, match="name each file"):
        files.find_files(Source(path=(f"{server.url}/{path}",)))
    assert not server.seen


def test_credentials_come_from_the_environment_and_are_not_shown(server, monkeypatch):
    monkeypatch.setenv("ME", "me@example")
    monkeypatch.setenv("WORD", "pa/ss@word")
    monkeypatch.setenv("TOKEN", "abc%2Bdef")
    monkeypatch.setenv("BEARER", "hush-hush")
    url = f"http://${{ME}}:${{WORD}}@127.0.0.1:{server.port}/whole/a.csv?token=${{TOKEN}}"
    found = files.find_files(Source(path=(url,)))[0]
    assert found.path == url and found.format == "csv"
    basic = base64.b64encode(b"me@example:pa/ss@word").decode()
    assert {(query, sent) for _, query, sent, _ in server.seen} == {
        ("token=abc%2Bdef", f"Basic {basic}")
    }
    with filesystems.open_file(found.path, {}) as stream:
        assert stream.read() == CSV
    options = {"headers": {"Authorization": "Bearer ${BEARER}"}}
    files.find_files(Source(path=(f"{server.url}/ranges/a.csv",), storage_options=options))
    assert server.seen[-1][2] == "Bearer hush-hush"
    shown = redact("GET http://me%40example:pa%2Fss%40word@127.0.0.1/a?token=abc%2Bdef hush-hush")
    assert "pa" not in shown.replace("path", "") and "abc" not in shown and "hush" not in shown


def test_predictions_are_not_written_to_a_server(server, tmp_path):
    with (
        pytest.raises(InputError, match="cannot be written to"),
        filesystems.upload_on_success(f"{server.url}/o.csv", {}),
    ):
        pass
