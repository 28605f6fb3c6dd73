"""DashScope over real HTTP as scripted: every answer and fault of the service and of its object storage."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

#: What a handler is told to do with one request.
Step = Callable[[BaseHTTPRequestHandler], None]


def png(width: int = 1024, height: int = 256, color: tuple[int, int, int] = (200, 80, 20)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, "PNG")
    return out.getvalue()


class FakeDashScope:
    """`posts` and `gets` are lists of steps, one per request; the last one repeats.

    `seen` holds (method, path, headers, body) of each request.
    """

    def __init__(self) -> None:
        self.posts: list[Step] = [answer()]
        self.gets: list[Step] = [picture(png())]
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer._next("POST", outer.posts, self, body)

            def do_GET(self) -> None:
                outer._next("GET", outer.gets, self, None)

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> FakeDashScope:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, method: str) -> int:
        return sum(m == method for m, *_ in self.seen)

    def _next(self, method: str, steps: list[Step], handler: BaseHTTPRequestHandler, body: Any) -> None:
        with self._lock:
            self.seen.append((method, handler.path, dict(handler.headers.items()), body))
            step = steps[min(self.count(method), len(steps)) - 1]
        step(handler)


def send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def answer(
    url: str | None = None,
    text: str | None = None,
    reasoning: str | None = None,
    request_id: str = "0a1b2c3d-4e5f",
    size: tuple[int, int] = (1024, 256),
) -> Step:
    """A finished request. `url` None: a picture on this server."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        where = url or f"http://{handler.headers['host']}/result.png?Expires=1&Signature=secret-signature"
        content = [{"image": where}] + ([{"text": text}] if text is not None else [])
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if reasoning is not None:
            message["reasoning_content"] = reasoning
        body = {
            "output": {"choices": [{"finish_reason": "stop", "message": message}]},
            "usage": {"width": size[0], "height": size[1], "image_count": 1},
            "request_id": request_id,
        }
        send(handler, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    return step


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Step:
    body = json.dumps({"request_id": "r-err", "code": code, "message": message}).encode()
    return lambda handler: send(handler, status, body, headers)


def raw(status: int, body: bytes, headers: dict[str, str] | None = None) -> Step:
    return lambda handler: send(handler, status, body, headers)


def picture(data: bytes) -> Step:
    return lambda handler: send(handler, 200, data, {"Content-Type": "image/png"})


def redirect(location: str) -> Step:
    return lambda handler: send(handler, 302, b"", {"Location": location})


def cut(data: bytes) -> Step:
    """The connection closes in the middle of the body."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    return step


def endless(chunk: bytes = b"x" * 65536) -> Step:
    """Chunks without a declared length, until the client hangs up."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        try:
            while True:
                handler.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        except OSError:
            return

    return step


def hang_up() -> Step:
    """No answer: the connection closes."""

    def step(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    return step
