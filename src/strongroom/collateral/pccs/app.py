"""The web application: parse, ask the backend, label the answer; nothing else of an answer or a failure gets out.

A peer learns the status, one constant sentence and a request id; the log has the reason under that id. Requests for PCK
certificates name a machine, so no query is logged but for the few parameters that name none.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongroom.collateral import api
from strongroom.collateral.pccs.administration import Administration
from strongroom.collateral.pccs.backend import Backend, media_type
from strongroom.collateral.pccs.mirror import TooManyAtOnce
from strongroom.collateral.pccs.tokens import Unauthorised
from strongroom.collateral.pccs.upload import UploadUnusable
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

MAX_BODY_BYTES: Final = api.MAX_BODY_BYTES
MAX_HEAD_BYTES: Final = 32 * 1024
_RETRY_AFTER_S: Final = "10"
_MAX_LABEL: Final = 256  # characters of a header that is handed on
_HANDED_ON: Final = (api.TCBM_HEADER, api.FMSPC_HEADER, api.CA_TYPE_HEADER, api.WARNING_HEADER)
_LOGGED_PARAMETERS: Final = ("fmspc", "ca", "encoding", "update", "tcbEvaluationDataNumber", "platform")
_SENTENCES: Final = {
    400: ("InvalidRequest", "The request does not fit the certification API."),
    401: ("Unauthorized", "A valid token is needed."),
    404: ("NotFound", "Nothing is known here under this request."),
    405: ("MethodNotAllowed", "The method does not fit the path."),
    408: ("RequestTimeout", "The request did not arrive in time."),
    410: ("Gone", "This evaluation data number is retired."),
    413: ("ContentTooLarge", "The request is too large."),
    431: ("HeadersTooLarge", "The request's head is too large."),
    429: ("TooManyRequests", "Too many requests at once; try again later."),
    500: ("InternalError", "The request could not be answered."),
    503: ("ServiceUnavailable", "There is no answer at the moment; try again later."),
}
_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")
Handler = Callable[[HttpRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLimits:
    """What one peer may take. `answer_s`: seconds until a request is answered or given up, sending included."""

    body_bytes: int = MAX_BODY_BYTES
    answer_s: float = 60.0
    threads: int = 32  # answers that may be waited for at once, upstream ones included


class TooLarge(BadInput):
    """A request to the local PCCS has a body beyond the limit."""

    code = "SR-PCCS-TOO-LARGE"
    fix = "Send fewer platforms at once."


def make_app(
    backend: Backend, administration: Administration | None = None, limits: AppLimits | None = None
) -> ASGIApp:
    """Return the ASGI application; without `administration` only collateral is served."""
    front = _Front(backend, administration, limits or AppLimits())
    routes = []
    if administration is not None:
        for version in (3, 4):
            base = f"/sgx/certification/v{version}"
            routes += [
                Route(f"{base}/platforms", front.guarded(front.register), methods=["POST"]),
                Route(f"{base}/platforms", front.guarded(front.list_platforms), methods=["GET"]),
                Route(f"{base}/platformcollateral", front.guarded(front.put_collateral), methods=["PUT"]),
                Route(f"{base}/refresh", front.guarded(front.refresh), methods=["POST", "GET"]),
            ]
    routes.append(Route("/{path:path}", front.guarded(front.certification), methods=["GET"]))
    application = Starlette(routes=routes, exception_handlers={404: _not_found, 405: _wrong_method})
    return _Bounded(application, (limits or AppLimits()).answer_s)


def refusal(status: int) -> Response:
    """Return the constant answer of a status."""
    name, sentence = _SENTENCES[status]
    headers = {api.ERROR_CODE_HEADER: name}
    if status in {429, 503}:
        headers["Retry-After"] = _RETRY_AFTER_S
    return Response(sentence, status, headers, media_type="text/plain")


async def _not_found(_request: HttpRequest, _problem: Exception) -> Response:
    return refusal(404)


async def _wrong_method(_request: HttpRequest, _problem: Exception) -> Response:
    return refusal(405)


class _Front:
    """The endpoints."""

    def __init__(self, backend: Backend, administration: Administration | None, limits: AppLimits) -> None:
        self._backend, self._administration, self._limits = backend, administration, limits
        self._threads = anyio.CapacityLimiter(limits.threads)

    def guarded(self, handler: Handler) -> Handler:
        """Return the handler with every failure turned into its constant answer."""

        async def answer(request: HttpRequest) -> Response:
            try:
                return await handler(request)
            except StrongroomError as problem:
                status = _status(problem)
                _log.log(_level(status), "%s: [%s] %s", _id(request), problem.code, problem.sentence)
                return refusal(status)
            except Exception:  # noqa: BLE001  # logged whole; the peer learns nothing of it
                _log.exception("%s: a defect", _id(request))
                return refusal(500)

        return answer

    async def certification(self, request: HttpRequest) -> Response:
        """Answer what Intel's API answers."""
        if not _is_of_the_api(request.scope["path"]):
            return refusal(404)
        asked = api.Request.parse(request.scope["path"], request.scope["query_string"].decode("latin-1"))
        answer = await self._in_thread(lambda: self._backend.answer(asked))
        if answer is None:
            return refusal(404)
        if answer.status != 200:
            return refusal(answer.status if answer.status in {404, 410, 429} else 503)
        return Response(answer.body, 200, _labels(asked, answer))

    async def register(self, request: HttpRequest) -> Response:
        """POST platforms: a machine's provisioning tool says what it is."""
        administration = self._admit_user(request)
        body = await self._body(request)
        await self._in_thread(lambda: administration.register(body))
        return _done()

    async def list_platforms(self, request: HttpRequest) -> Response:
        """GET platforms: the machines that wait for certificates, or those that have some, by FMSPC."""
        administration = self._admit_administrator(request)
        source = request.query_params.get("source", "reg")
        listed = await self._in_thread(lambda: administration.platforms(source))
        return Response(listed.body, 200, {"platform-count": str(listed.count)}, media_type="application/json")

    async def put_collateral(self, request: HttpRequest) -> Response:
        """PUT platformcollateral: certificates and reference data, brought by hand."""
        administration = self._admit_administrator(request)
        version = int(request.scope["path"].split("/")[3][1:])
        body = await self._body(request)
        await self._in_thread(lambda: administration.put_collateral(body, version))
        return _done()

    async def refresh(self, request: HttpRequest) -> Response:
        """POST or GET refresh: ask upstream anew for everything that is held."""
        administration = self._admit_administrator(request)
        await self._in_thread(administration.refresh)
        return _done()

    def _admit_user(self, request: HttpRequest) -> Administration:
        administration = self._require_administration()
        administration.tokens.admit_user(request.headers.get("user-token", ""))
        return administration

    def _admit_administrator(self, request: HttpRequest) -> Administration:
        administration = self._require_administration()
        administration.tokens.admit_administrator(request.headers.get("admin-token", ""))
        return administration

    def _require_administration(self) -> Administration:
        if self._administration is None:
            raise Unauthorised("this server has no administration")
        return self._administration

    async def _body(self, request: HttpRequest) -> bytes:
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared[:20]) > self._limits.body_bytes:
            raise TooLarge(f"a body of {declared[:20]} bytes; {self._limits.body_bytes} are read")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._limits.body_bytes:
                raise TooLarge(f"a body of more than {self._limits.body_bytes} bytes")
        return bytes(body)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)


class _Bounded:
    """Around the application: a request id on every answer, one line in the log, and an end to patience."""

    def __init__(self, application: ASGIApp, seconds: float) -> None:
        self._application, self._seconds = application, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        identity = uuid.uuid4().hex
        scope["strongroom.request_id"] = identity
        seen = {"status": 0, "bytes": 0}

        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message["headers"], (api.REQUEST_ID_HEADER.encode(), identity.encode())]
            else:
                seen["bytes"] += len(message.get("body", b""))
            await send(message)

        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                head = sum(len(name) + len(value) for name, value in scope["headers"])
                application = self._application if head <= MAX_HEAD_BYTES else refusal(431)
                await application(scope, receive, labelled)
        except (TimeoutError, asyncio.CancelledError):  # cancelled: the server ends and has waited long enough
            if not seen["status"]:
                await refusal(503)(scope, receive, labelled)
        finally:
            milliseconds = (time.monotonic() - started) * 1000
            _log.info("%s %s %s %s -> %d, %d bytes, %.0f ms", identity, (scope.get("client") or ("-",))[0],
                      scope["method"], _loggable(scope), seen["status"], seen["bytes"], milliseconds)  # fmt: skip


def _is_of_the_api(path: str) -> bool:
    head, _, tail = path.partition("/certification/v")
    return head in {"/sgx", "/tdx"} and tail[1:2] == "/" and tail[2:] in set(api.Kind)


def _labels(asked: api.Request, answer: api.Answer) -> Mapping[str, str]:
    """Return the headers that belong to an answer: those of its kind, under the names of its version."""
    headers = {"Content-Type": media_type(asked)}
    names = api.chain_headers(asked.kind, asked.version)
    chain = answer.header(*names) if names else None
    if chain is not None:
        headers[names[0]] = api.encode_chain(api.decode_chain(chain))
    for name in _HANDED_ON:
        value = answer.header(name)
        if value is not None and len(value) <= _MAX_LABEL and value.isascii() and value.isprintable():
            headers[name] = value
    return headers


def _done() -> Response:
    return Response("Operation successful.", 200, media_type="text/plain")


def _status(problem: StrongroomError) -> int:
    match problem:
        case TooLarge():
            return 413
        case Unauthorised():
            return 401
        case api.BadCollateralRequest() | UploadUnusable():
            return 400
        case TooManyAtOnce():
            return 429
        case Unreachable() | Refused():  # upstream is away, or has only what is too old
            return 503
        case _:
            return 500


def _level(status: int) -> int:
    return logging.ERROR if status == 500 else logging.WARNING if status in {401, 429, 503} else logging.INFO


def _id(request: HttpRequest) -> str:
    return str(request.scope["strongroom.request_id"])


def _loggable(scope: Scope) -> str:
    """Return path and harmless parameters, safe to print; tokens, PPIDs and QE IDs never get here."""
    path = ascii(scope["path"][:200])[1:-1]
    try:
        parameters = api.Request.parse(scope["path"], scope["query_string"].decode("latin-1")).parameters
    except api.BadCollateralRequest:
        return path
    shown = [f"{name}={parameters[name]}" for name in _LOGGED_PARAMETERS if name in parameters]
    return f"{path}?{'&'.join(shown)}" if shown else path
