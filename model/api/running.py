"""Running a server: sockets, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn

from .connection import Connection
from .engine import Enhancer, ImageEngine
from .server import create_app
from .settings import Settings

log = logging.getLogger(__name__)


class ApiServer(uvicorn.Server):
    """uvicorn that drains before it stops listening: answered clients still have to fetch their pictures.

    The first SIGTERM or SIGINT (or `stop`) drains, the second ends at once.
    """

    def __init__(self, engine: ImageEngine, settings: Settings, enhancer: Enhancer | None = None):
        self.app = create_app(engine, settings, enhancer)
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = threading.Event()
        super().__init__(
            uvicorn.Config(
                self.app,
                http=partial(Connection, head_s=settings.head_s, stall_s=settings.stall_s),
                ws="none",
                # Behind a proxy, `public_url` says what the server is called.
                proxy_headers=False,
                log_config=None,
                # Paths of pictures are secrets.
                access_log=False,
                server_header=False,
                limit_concurrency=settings.max_connections,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=32 << 10,
                lifespan="on",
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await super().serve(sockets)
        finally:
            # uvicorn skips the lifespan's end when it is told twice to stop.
            service = getattr(self.app.state, "service", None)
            if service is not None:
                service.store.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not recorded as captured: a drained server has done what the signal asked for and ends with exit code 0.
        self.stop()

    def stop(self) -> None:
        """Drain and end; at once when called again. May be called from any thread."""
        if self._draining.is_set() or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._draining.set()
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._drain()))

    async def _drain(self) -> None:
        log.info("closing: finishing what is under way")
        service = getattr(self.app.state, "service", None)
        if service is not None:
            await service.drain()
        self.should_exit = True


def run(
    engine: ImageEngine,
    settings: Settings,
    enhancer: Enhancer | None = None,
    on_start: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGTERM or SIGINT. `on_start` is told the server's URL once it is bound.

    Raises:
        OSError: the address cannot be bound.
    """
    server = ApiServer(engine, settings, enhancer)
    with bound(settings.host, settings.port) as listening:
        on_start(url_of(settings.host, listening))
        server.run(sockets=[listening])


def bound(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError naming the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is stated: asyncio sets TCP_NODELAY only where it is, and without that answers wait for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
        return listening
    except OSError as e:
        listening.close()
        raise OSError(e.errno, e.strerror, f"{host}:{port}") from e


def url_of(host: str, listening: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}"
