"""The page: a login, and behind it Flink's own page and REST API, asked with the client's certificate.

Deny by default: nothing but the login page and its two files is answered to nobody. Requests of other sites carry no
cookie (SameSite=Strict), those under another host name are refused (DNS rebinding), changes want this page's origin.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qsl

import urllib3
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from strongroom.errors import Refused, StrongroomError
from strongroom.streaming.flink.page import rules
from strongroom.streaming.flink.page.sessions import SESSION_S, LoginRefused, Sessions
from strongroom.streaming.flink.rest import MAX_ANSWER_BYTES, FlinkAway, Place

MAX_FORM_BYTES: Final = 4096
MAX_BODY_BYTES: Final = 1024 * 1024
MAX_UPSTREAM: Final = 8
TIMEOUT_S: Final = 20.0
REFUSED: Final = (  # takes the place of a comment in login.html
    b'<p role="alert">That did not work: the password is wrong, or the link was used or is too old.</p>'
)
_ONLOAD: Final = "MhtPZXr7+LpJUY5qtMutB+qWfQtMaPccfe7QXtCcEYc="  # of Flink's one inline handler, this.media='all'
_POLICY: Final = (
    f"default-src 'none'; script-src 'self' 'unsafe-hashes' 'sha256-{_ONLOAD}'; worker-src 'self' blob:;"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'self'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log: Final = logging.getLogger("strongroom.flink.page")


class ForeignRequest(Refused):
    """A request to the page came from another site or under another name."""

    code = "SR-FLINK-FOREIGN"
    fix = "Open the address that strongroom flink page printed, and use the page's own buttons."


class Page:
    """The application. `names`: the hosts that it may be called by."""

    def __init__(self, place: Place, sessions: Sessions, *, names: frozenset[str], changes: bool) -> None:
        self._place, self._sessions, self._names, self._changes = place, sessions, names, changes

    def application(self) -> Starlette:
        """Return the ASGI application."""
        every = [*rules.READING, *rules.CHANGING]
        return Starlette(
            routes=[
                Route("/login", self._guarded(self._form), methods=["GET"]),
                Route("/login", self._guarded(self._log_in), methods=["POST"]),
                Route("/logout", self._guarded(self._log_out), methods=["POST"]),
                Route("/login.js", self._guarded(self._file), methods=["GET"]),
                Route("/login.css", self._guarded(self._file), methods=["GET"]),
                Route("/{path:path}", self._guarded(self._hand_on), methods=every),
            ]
        )

    @cached_property
    def _pool(self) -> urllib3.HTTPSConnectionPool:
        return urllib3.HTTPSConnectionPool(
            self._place.host, self._place.port, ssl_context=self._place.context(), maxsize=MAX_UPSTREAM, block=True,
            timeout=TIMEOUT_S, retries=False,
        )  # fmt: skip

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._check(request)
                response = await handler(request)
            except StrongroomError as problem:
                response = _problem(problem)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return answer

    def _check(self, request: Request) -> None:
        """Raise ForeignRequest for another host's name, and for what changes something from elsewhere."""
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host.strip("[]").lower() not in self._names:
            raise ForeignRequest("the request names another host")
        if request.method in rules.READING:
            return
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
        if site != "same-origin" or origin != f"https://{request.headers.get('host', '')}":
            raise ForeignRequest("the request comes from another site")

    async def _form(self, _request: Request) -> Response:
        return Response(_text("login.html"), media_type="text/html")

    async def _file(self, request: Request) -> Response:
        name = request.url.path.removeprefix("/")
        return Response(_text(name), media_type="text/css" if name.endswith(".css") else "text/javascript")

    async def _log_in(self, request: Request) -> Response:
        body = await _body(request, MAX_FORM_BYTES)
        try:
            fields = dict(parse_qsl(body.decode("ascii"), max_num_fields=4))
            token = self._sessions.begin(fields.get("word", ""))
        except (ValueError, LoginRefused) as problem:
            _log.warning("a login was refused: %s", type(problem).__name__)
            page = _text("login.html").replace(b"<!-- refused -->", REFUSED)
            return Response(page, status_code=403, media_type="text/html")
        response = RedirectResponse("/", status_code=303)
        _cookie(request, response, token, int(SESSION_S))
        return response

    async def _log_out(self, request: Request) -> Response:
        self._sessions.end(request.cookies.get(cookie_name(request), ""))
        response = RedirectResponse("/login", status_code=303)
        _cookie(request, response, "", 0)
        return response

    async def _hand_on(self, request: Request) -> Response:
        if not self._sessions.holds(request.cookies.get(cookie_name(request), "")):
            if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                return RedirectResponse("/login", status_code=303)
            return _problem(LoginRefused("there is no session"), status=401)
        path = request.scope["raw_path"].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        target = rules.target_of(request.method, path, query, changes=self._changes)
        body = await _body(request, MAX_BODY_BYTES) if request.method in rules.CHANGING else None
        if body is not None:
            _log.warning("%s %s is handed on", request.method, path)
        return await run_in_threadpool(self._ask, request, target, body)

    def _ask(self, request: Request, target: str, body: bytes | None) -> Response:
        try:
            answer = self._pool.request(
                request.method, target, body=body, headers=rules.asked_headers(request.headers.items()),
                redirect=False, preload_content=False, decode_content=False,
            )  # fmt: skip
            data = None
            try:
                data = answer.read(MAX_ANSWER_BYTES + 1)
            finally:
                answer.drain_conn() if data is not None and len(data) <= MAX_ANSWER_BYTES else answer.close()
                answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise FlinkAway(f"Flink does not answer: {type(problem).__name__}") from None
        if len(data) > MAX_ANSWER_BYTES:
            raise FlinkAway("Flink's answer is too long")
        path = target.partition("?")[0]
        return Response(
            rules.answered_body(path, data, changes=self._changes), status_code=answer.status,
            headers=rules.answered_headers(answer.headers.items()),
        )  # fmt: skip


def cookie_name(request: Request) -> str:
    """Return the cookie's name: bound to this host by its prefix, and to the port, which cookies do not know."""
    server = request.scope.get("server") or ("", 0)
    return f"__Host-strongroom-flink-{server[1]}"


def _cookie(request: Request, response: Response, value: str, seconds: int) -> None:
    response.set_cookie(
        cookie_name(request), value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict"
    )


async def _body(request: Request, limit: int) -> bytes:
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > limit:
            raise ForeignRequest(f"the request's body is longer than {limit} bytes")
    return bytes(found)


def _problem(problem: StrongroomError, *, status: int | None = None) -> Response:
    code = status or (502 if isinstance(problem, FlinkAway) else 403)
    return JSONResponse({"errors": [f"{problem.sentence} [{problem.code}] {problem.fix}"]}, status_code=code)


def _text(name: str) -> bytes:
    return files("strongroom.streaming.flink.page").joinpath("static", name).read_bytes()
