"""Fetching from a real local server that misbehaves on purpose."""

import hashlib
import io
import json
import socket
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zcurate.curation.blobs import BlobReader
from zcurate.curation.errors import SourceError
from zcurate.curation.ingest import SourceSpec, list_source
from zcurate.curation.ingest.fetch import fetch
from zcurate.curation.ingest.fetch_http import FetchOptions, retry_after_s


def png(seed: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (seed % 256, 20, 30)).save(out, "PNG")
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _send(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server
        with server.guard:
            server.hits[self.path] += 1
            hit = server.hits[self.path]
        kind, _, argument = self.path.strip("/").partition("/")
        if self.path == "/robots.txt":
            self._send(200, b"User-agent: zcurate\nDisallow: /private/\n")
        elif kind in {"ok", "private"}:
            self._send(200, png(int(argument)), Content_Type="image/png")
        elif kind == "flaky":  # works from the n-th request on
            times, status = map(int, argument.split("-"))
            if hit <= times:
                self._send(status, Retry_After="0")
            else:
                self._send(200, png(1))
        elif kind == "status":
            self._send(int(argument))
        elif kind == "slow":
            server.release.wait(20)
            self.close_connection = True
        elif kind == "drop":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"\x89PNG\r\n\x1a\n")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif kind == "redirect":
            self._send(
                302,
                Location={
                    "private": "http://10.0.0.1/x.png",
                    "file": "file:///etc/passwd",
                    "ok": "/ok/7",
                }.get(argument, self.path),
            )
        elif kind == "optout":
            self._send(
                200,
                png(2),
                X_Robots_Tag={"other": "otherbot: noai", "ours": "zcurate: noindex"}.get(
                    argument, "noimageai, nofollow"
                ),
            )
        elif kind == "big":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            try:
                for _ in range(100):
                    self.wfile.write(bytes(65536))
            except OSError:
                pass
        elif kind == "html":
            self._send(200, b"<html>not found</html>", Content_Type="text/html")
        else:
            self._send(404)


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.hits, httpd.guard, httpd.release = Counter(), threading.Lock(), threading.Event()
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd
    httpd.release.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def url(server):
    return lambda path: f"http://127.0.0.1:{server.server_port}/{path}"


OPTIONS = FetchOptions(
    allow_private=frozenset({"127.0.0.1"}),
    backoff_s=0.01,
    read_s=0.5,
    total_s=3,
    max_bytes=1 << 20,
    per_host=16,
    attempts=2,
)


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def outcomes(folder):
    rows = [r for p in sorted(folder.glob("*.parquet")) for r in pq.read_table(p).to_pylist()]
    return {r["row"]: r for r in rows}


def test_every_kind_of_failure_is_typed(tmp_path, url, server):
    good = png(3)
    cases = [
        ("ok/3", None, {"sha256": hashlib.sha256(good).hexdigest()}),
        ("ok/4", "WrongHashError", {"md5": "0" * 32}),
        ("ok/5", None, {"md5": hashlib.md5(png(5)).hexdigest()}),
        ("flaky/1-429", None, {}),
        ("flaky/1-500", None, {}),
        ("status/503", "HttpStatusError", {}),
        ("status/404", "HttpStatusError", {}),
        ("slow/1", "FetchTimeoutError", {}),
        ("drop/1", "TransportError", {}),
        ("redirect/private", "UnsafeUrlError", {}),
        ("redirect/file", "UnsafeUrlError", {}),
        ("redirect/loop", "RedirectError", {}),
        ("redirect/ok", None, {}),
        ("private/1", "RobotsDisallowedError", {}),
        ("optout/all", "OptOutError", {}),
        ("optout/ours", "OptOutError", {}),
        ("optout/other", None, {}),
        ("big/1", "BodyTooLargeError", {}),
        ("html/1", "NotAnImageError", {}),
    ]
    rows = [{"url": url(p), "caption": f"caption of {p}", "extra": 1, **more} for p, _, more in cases]
    rows += [{"url": "http://127.0.0.2:9/x.png"}, {"url": "http://no-such-host.invalid/x.png"}, {"url": None}]
    expected = [e for _, e, _ in cases] + ["UnsafeUrlError", None, "BadLineError"]
    manifest = write(tmp_path / "list.jsonl", rows)
    report = fetch(manifest, str(tmp_path / "out"), rows_per_shard=10, options=OPTIONS)
    found = outcomes(tmp_path / "out")
    assert report.rows == report.fetched_now == len(rows) == len(found)
    for i, error in enumerate(expected):
        if i == len(cases) + 1:  # unresolvable: robots.txt of such a host is unavailable, which is passing
            assert found[i]["status"] == "error"
            assert found[i]["retryable"]
            continue
        assert found[i]["error_class"] == error, found[i]
    attempts = {p: found[i]["attempts"] for i, (p, _, _) in enumerate(cases)}
    assert attempts["flaky/1-429"] == attempts["flaky/1-500"] == attempts["status/503"] == 2
    assert attempts["status/404"] == attempts["redirect/private"] == attempts["optout/all"] == 1
    assert found[5]["http_status"] == 503
    assert server.hits["/private/1"] == 0

    # what was stored is a webdataset source with untouched bytes
    spec = SourceSpec("web", str(tmp_path / "out"), "webdataset")
    listed = pa.Table.from_batches(list_source(spec)).to_pylist()
    assert len(listed) == report.ok == sum(e is None for e in expected) - 1
    reader = BlobReader({"web": spec.blob_root})
    first = next(r for r in listed if r["key"] == "000000000")
    assert reader.read("web", first["uri"], "tar", first["member"], first["offset"], first["length"]) == good
    assert first["text"] == "caption of ok/3"
    assert json.loads(first["metadata"])["manifest"]["extra"] == 1


def test_resume_and_retry(tmp_path, url, server):
    # the flaky URL fails for as many requests as the first run makes, then works
    paths = ["ok/10", "flaky/2-500", "ok/11", "status/404", "ok/12", "flaky/2-500", "ok/13"]
    manifest = tmp_path / "list.csv"
    manifest.write_text("URL,TEXT\n" + "".join(f"{url(p)},t{i}\n" for i, p in enumerate(paths)))
    out = tmp_path / "out"
    options = replace(OPTIONS, attempts=1, per_host=1, shards_in_flight=1)
    report = fetch(str(manifest), str(out), rows_per_shard=3, options=options)
    assert (report.rows, report.ok, report.errors) == (7, 4, {"HttpStatusError": 3})
    assert report.retryable == 2
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix in {".tar", ".parquet"}}
    assert {"00000.tar", "00001.tar", "00002.tar"} < set(before)

    # what a kill leaves: a tar without its table, and scratch files
    (out / "00001.parquet").unlink()
    (out / ".part-00001").mkdir()
    (out / ".part-00001" / "3").write_bytes(b"half")
    hits = Counter(server.hits)
    report = fetch(str(manifest), str(out), rows_per_shard=3, options=options)
    assert report.fetched_now == 3
    assert server.hits["/ok/10"] == hits["/ok/10"]
    assert not list(out.glob(".part*"))
    assert (out / "00000.parquet").read_bytes() == before["00000.parquet"]

    report = fetch(str(manifest), str(out), rows_per_shard=3, options=options, retry=True)
    report = fetch(str(manifest), str(out), rows_per_shard=3, options=options, retry=True)
    assert (report.ok, report.errors, report.retryable) == (6, {"HttpStatusError": 1}, 0)
    assert fetch(str(manifest), str(out), rows_per_shard=3, options=options, retry=True).fetched_now == 0
    names = []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    assert len(names) == len(set(names))
    assert sum(n.endswith(".png") for n in names) == 6

    with pytest.raises(SourceError, match="rows_per_shard"):
        fetch(str(manifest), str(out), rows_per_shard=4, options=options)


def test_killed_fetch_continues(tmp_path, url):
    manifest, out = (
        write(tmp_path / "list.jsonl", [{"url": url(f"ok/{i}")} for i in range(40)]),
        tmp_path / "out",
    )
    script = (
        "import sys\nfrom zcurate.curation.ingest.fetch import fetch\n"
        "from zcurate.curation.ingest.fetch_http import FetchOptions\n"
        "o = FetchOptions(allow_private=frozenset({'127.0.0.1'}), shards_in_flight=1, per_host=1)\n"
        "say = lambda ok, bad: print(ok, flush=True)\n"
        "fetch(sys.argv[1], sys.argv[2], rows_per_shard=4, options=o, progress=say)\n"
    )
    command = [sys.executable, "-c", script, manifest, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "4\n"
        process.kill()
    report = fetch(manifest, str(out), rows_per_shard=4, options=OPTIONS)
    assert (report.rows, report.ok) == (40, 40)
    assert report.fetched_now < 40
    fetch(manifest, str(tmp_path / "whole"), rows_per_shard=4, options=OPTIONS)
    for path in sorted((tmp_path / "whole").glob("*.tar")):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_manifest_without_urls(tmp_path):
    manifest = write(tmp_path / "list.jsonl", [{"name": "x"}])
    with pytest.raises(SourceError, match="url_column"):
        fetch(manifest, str(tmp_path / "out"), options=OPTIONS)


def test_retry_after_forms():
    assert retry_after_s("7") == 7
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_s("soon") is None
