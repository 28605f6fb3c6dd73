"""The HTTP side of the server: DashScope's path and bodies, pictures, probes, metrics."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import BinaryIO, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from ..errors import ModelError
from .engine import Enhancer, ImageEngine
from .errors import ApiError, BodyTooLargeError, MediaTypeError, NotFoundError, ServiceError, SlowBodyError
from .guard import Guard
from .metrics import CONTENT_TYPE
from .request import ImageRequest, ImageResult, json_object
from .service import Answered, Service, as_api_error
from .settings import Settings
from .wire import SERVICE_PATH, answer_body, error_body, parse_body

log = logging.getLogger(__name__)
PATH = "/api/v1" + SERVICE_PATH
#: nginx's status for a client that went away; it only shows in metrics.
_GONE = 499
_PIECE_BYTES = 256 << 10
_T = TypeVar("_T")


class _ClientGoneError(Exception):
    """The client closed the connection before its answer."""


def create_app(engine: ImageEngine, settings: Settings, enhancer: Enhancer | None = None) -> FastAPI:
    """The application. Nothing runs, and no folder is made, until the server starts its lifespan.

    `app.state.service` is the `Service` while it runs.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(engine, settings, enhancer)
        service.start()
        try:
            yield
        finally:
            await service.close()

    app = FastAPI(title="zcurate", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(
        Guard, token=settings.token, local=settings.local, hosts=(settings.host, *settings.allowed_hosts)
    )

    @app.post(PATH)
    async def generation(request: Request) -> Response:
        return await _generation(request, app.state.service)

    @app.get("/images/{name}")
    async def image(name: str) -> Response:
        file = await asyncio.to_thread(app.state.service.store.open, name)
        if file is None:
            return _refused(NotFoundError("no such picture, or it has expired"), _new_id())
        headers = {
            "Cache-Control": "private, max-age=3600, immutable",
            "Content-Length": str(os.fstat(file.fileno()).st_size),
        }
        return StreamingResponse(_pieces(file), media_type="image/png", headers=headers)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "model": engine.name}

    @app.get("/ready")
    async def ready() -> Response:
        fine = app.state.service.ready
        return JSONResponse({"status": "ready" if fine else "closing"}, 200 if fine else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        service = app.state.service
        service.metrics.store_bytes.set(service.store.size_bytes)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        known = {404: "NotFound", 405: "MethodNotAllowed"}
        body = {
            "request_id": _new_id(),
            "code": known.get(error.status_code, "InvalidParameter"),
            "message": f"{error.detail}; pictures are made by POST {PATH}",
        }
        return JSONResponse(body, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failure(request: Request, error: Exception) -> Response:
        return _refused(ServiceError("the server failed on this request; its log says why"), _new_id())

    return app


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


async def _generation(request: Request, service: Service) -> Response:
    request_id, started, code = _new_id(), time.monotonic(), "200"
    try:
        try:
            asked = await _asked(request, service)
            answered = await _unless_gone(request, service.answer(asked))
            result = _result(request, service, request_id, asked, answered)
            return JSONResponse(answer_body(result, answered.seed, service.engine.name))
        except ModelError as e:
            error = as_api_error(e)
            code = str(error.http_status)
            return _refused(error, request_id)
        except _ClientGoneError:
            code = str(_GONE)
            return Response(status_code=_GONE)
        except BaseException:
            code = "500"
            raise
    finally:
        took = time.monotonic() - started
        service.metrics.requests.labels(code).inc()
        service.metrics.request_s.observe(took)
        log.info("%s %s %.2f s", request_id, code, took)


async def _asked(request: Request, service: Service) -> ImageRequest:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        # Browsers send other types across sites without asking first.
        raise MediaTypeError("Content-Type must be application/json")
    settings = service.settings
    try:
        async with asyncio.timeout(settings.body_s):
            body = await _body(request, settings.max_body_bytes)
    except TimeoutError as e:
        raise SlowBodyError(f"the body did not arrive within {settings.body_s:g} s") from e
    return parse_body(json_object(body), service.engine.name, settings.max_prompt_chars)


async def _body(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > max_bytes:
        raise BodyTooLargeError(f"the body has {declared[:20]} bytes; at most {max_bytes:,} are read")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > max_bytes:
            raise BodyTooLargeError(f"the body has more than {max_bytes:,} bytes")
    return bytes(data)


async def _unless_gone(request: Request, work: Awaitable[_T]) -> _T:
    """The result of `work`, which is cancelled when the client goes away."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _ClientGoneError
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        with suppress(asyncio.CancelledError, ModelError):
            await working


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result(
    request: Request, service: Service, request_id: str, asked: ImageRequest, answered: Answered
) -> ImageResult:
    base = service.settings.public_url or f"{request.url.scheme}://{request.headers['host']}"
    result = ImageResult(
        image_url=f"{base.rstrip('/')}/images/{answered.name}",
        width=answered.width,
        height=answered.height,
        prompt=asked.prompt,
        request_id=request_id,
    )
    if answered.rewritten is None:
        return result
    return replace(
        result,
        rewritten_prompt=answered.rewritten.prompt,
        reasoning=answered.rewritten.reasoning or None,
    )


def _refused(error: ApiError, request_id: str) -> Response:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    # What is left of a body that was too large or slow is not read.
    if isinstance(error, BodyTooLargeError | SlowBodyError):
        headers["Connection"] = "close"
    return JSONResponse(error_body(error, request_id), error.http_status, headers)


def _new_id() -> str:
    return str(uuid.uuid4())
