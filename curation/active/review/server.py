"""The page: FastAPI, rendered here, no script needed for anything but the keyboard."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from ...errors import ZcurateError
from .decisions import ReviewLog
from .forms import MAX_BYTES, FormError, decision_of, filters_of, one, parse, query_of
from .guard import HEADERS, Guard, Session, reviewer_name
from .pages import Pages
from .queue import LostTaskError, ReviewQueue
from .states import VERDICTS
from .tasks import FIELDS, Task, as_typed, shown

log_ = logging.getLogger(__name__)
#: `picture(task, number, full)` -> (bytes, media type). Raises ZcurateError where it cannot be shown.
ReadPicture = Callable[[Task, int, bool], tuple[bytes, str]]
_BODY_S = 20.0
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")


def create_app(
    log: ReviewLog, picture: ReadPicture, guard: Guard, pages: Pages, lease_s: float = 600.0
) -> FastAPI:
    """The application.

    Args:
        picture: reads a task's picture; `full`: at its own size.
        lease_s: see `ReviewQueue`.
    """
    queue = ReviewQueue(log, lease_s)
    app = FastAPI(title="zcurate review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.queue = queue

    @app.middleware("http")
    async def guarded(request: Request, call_next: Any) -> Response:
        response = await _guarded(request, call_next)
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("cache-control", "no-store")
        return response

    async def _guarded(request: Request, call_next: Any) -> Response:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not guard.is_ours(hosts[0]):
            return _plain(421, "this server does not go by that name; see --allowed-host")
        path = request.url.path
        request.state.session = session = guard.session(request.cookies.get(guard.cookie))
        if request.method not in ("GET", "HEAD", "POST"):
            return _plain(405, "GET and POST only")
        if request.method == "POST" and not guard.same_origin(
            hosts[0], request.headers.get("origin"), request.headers.get("sec-fetch-site")
        ):
            return _plain(403, "a form must come from a page of this server")
        if path == "/health" or path.startswith("/static/") or path == "/hello":
            return await call_next(request)
        if session is None:
            if request.method == "GET" and not path.startswith("/media/"):
                return _hello(request, 200)
            return _plain(401, "sign in first")
        if request.method == "POST":
            try:
                request.state.form = form = parse(await _body(request))
                if not guard.form_fits(session, one(form, "form_key")):
                    return _plain(403, "the form is of another session; load the page again")
            except FormError as e:
                return _plain(400, str(e))
        return await call_next(request)

    def _hello(request: Request, status: int, problem: str = "") -> Response:
        asked = guard.token is not None
        token = request.query_params.get("token", "") if request.method == "GET" else ""
        return HTMLResponse(pages.hello(asked, token, problem), status)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        found = pages.static(name)
        if found is None:
            raise HTTPException(404)
        content, media_type = found
        return Response(
            content, media_type=media_type, headers={"cache-control": "max-age=31536000, immutable"}
        )

    @app.get("/hello")
    async def hello(request: Request) -> Response:
        return _hello(request, 200)

    @app.post("/hello")
    async def signed_in(request: Request) -> Response:
        try:
            form = parse(await _body(request))
            name, token = reviewer_name(one(form, "reviewer")), one(form, "token")
        except FormError as e:
            return _plain(400, str(e))
        if not guard.token_fits(token):
            await asyncio.sleep(0.5)  # guesses are slow
            return _hello(request, 403, "That is not the token.")
        if name is None:
            return _hello(request, 400, "Write a name of 1 to 40 characters.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            guard.cookie, guard.sign_in(name), httponly=True, samesite="strict", max_age=30 * 86400
        )
        return answer

    @app.get("/")
    async def work(request: Request) -> Response:
        session: Session = request.state.session
        filters = filters_of(request.query_params)

        def render() -> str:
            held = queue.next_tasks(session.reviewer, filters)
            return pages.work(queue, session.reviewer, guard.form_key(session), filters, held)

        return HTMLResponse(await asyncio.to_thread(render))

    @app.get("/task/{task_id}")
    async def task_page(request: Request, task_id: str) -> Response:
        session: Session = request.state.session
        filters = filters_of(request.query_params)

        def render() -> str | None:
            if log.task(task_id) is None:
                return None
            queue.hold(task_id, session.reviewer)
            return pages.work(queue, session.reviewer, guard.form_key(session), filters, [task_id])

        text = await asyncio.to_thread(render)
        if text is None:
            raise HTTPException(404, "no such task")
        return HTMLResponse(text)

    @app.post("/task/{task_id}")
    async def decide(request: Request, task_id: str) -> Response:
        session: Session = request.state.session
        form = request.state.form
        filters = filters_of(request.query_params)
        task = await asyncio.to_thread(log.task, task_id)
        if task is None:
            raise HTTPException(404, "no such task")

        def write() -> None:
            version = one(form, "version")
            if not (version.isascii() and version.isdigit() and len(version) < 16):
                raise FormError("version: not a number")
            decision_id = one(form, "decision_id")
            if len(decision_id) != 32 or not decision_id.isalnum():
                raise FormError("decision_id: not one of ours")
            stage = log.rows("SELECT stage FROM tasks WHERE task_id = ?", (task_id,))[0][0]
            action, body = decision_of(task, stage, form)
            if action in VERDICTS and one(form, "took_ms").isdigit():
                body["took_ms"] = min(int(one(form, "took_ms")[:9]), 10**8)
            queue.decide(task_id, session.reviewer, action, body, int(version), decision_id)

        try:
            await asyncio.to_thread(write)
        except LostTaskError as e:
            typed = {f: one(form, f"field.{f}") for f in FIELDS[task.kind] if f"field.{f}" in form}
            kept = {
                f: t
                for f, t in typed.items()
                if f in task.fields and as_typed(t) != as_typed(shown(task.fields[f]))
            }
            return HTMLResponse(pages.lost(str(e), kept, query_of(filters)), 409)
        except FormError as e:
            return HTMLResponse(pages.lost(str(e), {}, query_of(filters)), 400)
        return _to("/", filters)

    @app.post("/undo")
    async def undo(request: Request) -> Response:
        filters = filters_of(request.query_params)
        try:
            task_id = await asyncio.to_thread(queue.undo, request.state.session.reviewer)
        except LostTaskError as e:
            return HTMLResponse(pages.lost(str(e), {}, query_of(filters)), 409)
        return _to(f"/task/{task_id}" if task_id else "/", filters)

    @app.post("/hold/{task_id}")
    async def hold(request: Request, task_id: str) -> Response:
        if await asyncio.to_thread(log.task, task_id) is None:
            raise HTTPException(404)
        kept = await asyncio.to_thread(queue.hold, task_id, request.state.session.reviewer)
        return Response(status_code=204 if kept else 409)

    @app.get("/media/{task_id}/{number}")
    async def media(request: Request, task_id: str, number: int, full: int = 0) -> Response:
        def read() -> tuple[bytes, str] | None:
            task = log.task(task_id)
            if task is None or not 0 <= number < len(task.pictures):
                return None
            return picture(task, number, bool(full))

        try:
            found = await asyncio.to_thread(read)
        except (ZcurateError, OSError) as e:
            log_.warning("%s: %s", task_id, e)
            found = None
        # Whatever a file claims to be, a browser is told only of pictures.
        if found is None or found[1] not in _IMAGE_TYPES:
            raise HTTPException(404, "this picture cannot be shown")
        return Response(
            found[0], media_type=found[1], headers={"cache-control": "private, max-age=86400, immutable"}
        )

    @app.get("/list")
    async def listed(request: Request) -> Response:
        filters, page = filters_of(request.query_params), request.query_params.get("page", "0")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 0
        session: Session = request.state.session
        return HTMLResponse(await asyncio.to_thread(pages.listed, queue, session.reviewer, filters, number))

    @app.get("/progress")
    async def progress(request: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(pages.progress, queue, request.state.session.reviewer))

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        return _plain(error.status_code, str(error.detail))

    return app


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError naming the address.

    Its protocol is stated, as `socket.create_server` does not: only then does asyncio turn Nagle's algorithm off for the
    connections it accepts, which costs 40 ms a page with peers that delay acknowledgements.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(256)
    except OSError as e:
        found.close()
        raise OSError(e.errno, e.strerror, f"{host}:{port}") from e
    return found


def _to(path: str, filters: Any) -> Response:
    query = query_of(filters)
    return RedirectResponse(f"{path}?{query}" if query else path, 303)


def _plain(status: int, text: str) -> Response:
    return Response(text + "\n", status, media_type="text/plain; charset=utf-8")


async def _body(request: Request) -> bytes:
    """Raises FormError for one that is too large, too slow or no form."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise FormError("a form is application/x-www-form-urlencoded")
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for piece in request.stream():
                data += piece
                if len(data) > MAX_BYTES:
                    raise FormError(f"a form has at most {MAX_BYTES >> 10} KiB")
    except TimeoutError as e:
        raise FormError("the form did not arrive in time") from e
    return bytes(data)
