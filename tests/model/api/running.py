"""A real server on a real port, in a thread of this process."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from zcurate.model.api.credentials import Secret, endpoint_of
from zcurate.model.api.dashscope import ImageClient, Patience
from zcurate.model.api.engine import Enhancer, ImageEngine
from zcurate.model.api.running import ApiServer, bound, url_of
from zcurate.model.api.settings import Settings

IMPATIENT = Patience(attempts=3, backoff_s=0.01, max_wait_s=2.0, connect_s=5.0, read_s=30.0, download_s=20.0)


class RunningServer:
    """`with RunningServer(engine, ...) as server:`; `settings` override the server's."""

    def __init__(self, engine: ImageEngine, enhancer: Enhancer | None = None, **settings: Any):
        self.settings = Settings(port=0, **settings)
        self.server = ApiServer(engine, self.settings, enhancer)
        self.engine = engine
        self._socket = bound(self.settings.host, 0)
        self.url = url_of(self.settings.host, self._socket)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> RunningServer:
        # The socket listens already, so that a client's first request waits for the server's start.
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def service(self) -> Any:
        return self.server.app.state.service

    def client(self, token: str | None = None, patience: Patience = IMPATIENT) -> ImageClient:
        """The real client, pointed here as by a request's base_url."""
        endpoint = endpoint_of(self.url, "beijing")
        return ImageClient(endpoint, Secret(token) if token else None, self.engine.name, patience)


def until(condition: Any, tries: int = 2000) -> None:
    """Waits for a state of another thread; each try is a request's worth of time."""
    pause = threading.Event()
    for _ in range(tries):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the state was not reached")
