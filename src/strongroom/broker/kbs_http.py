"""KBS over HTTP: routes, cookies, limits and one table of answers (KBS specification section 2). An ASGI application.

Every answer that refuses has the JSON body that stock clients look for. It tells the class of the refusal and nothing
else: an unknown name, a forbidden one and one beyond its limit are the same 403 (threats KD-11, SV-10).
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom.broker import kbs, kbs_sessions
from strongroom.broker.kbs_service import Caller, KbsNotProven, KbsNotReleased, KbsService
from strongroom.broker.store.rates import RateLimited
from strongroom.broker.web.middleware import BodyTooLarge
from strongroom.errors import StrongroomError, Unreachable
from strongroom.pki.jose import TokenUnsound
from strongroom.workspace import BadSecretName

TYPE: Final = "https://github.com/confidential-containers/kbs/errors/"
PROBLEM: Final = "application/problem+json"
MAX_COOKIE_HEADER: Final = 4096
RETRY_AFTER_S: Final = 5
_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9_.-]{1,65536})", re.ASCII)
_COOKIE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_log: Final = logging.getLogger("strongroom.broker")
_RESOURCE: Final = f"{kbs.PREFIX}/resource/"
_ADMINISTERED: Final = ("attestation-policy", "resource-policy", "reference-value", "reference-value/{id:path}")


def kbs_application(service: KbsService) -> Starlette:
    """Return the application of a KBS port; hand it to `web.WebServer`, which has the TLS, the limits and the ids."""
    routes = _Routes(service)
    return Starlette(
        routes=[
            Route(f"{kbs.PREFIX}/auth", routes.auth, methods=["POST"]),
            Route(f"{kbs.PREFIX}/attest", routes.attest, methods=["POST"]),
            Route(f"{_RESOURCE}{{rest:path}}", routes.resource, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
            *(Route(f"{kbs.PREFIX}/{path}", _administered, methods=["GET", "POST"]) for path in _ADMINISTERED),
            Route("/healthz", _alive, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _no_plugin},
    )


class _Routes:
    def __init__(self, service: KbsService) -> None:
        self._service = service

    async def auth(self, request: Request) -> Response:
        body = await _body(request, kbs.MAX_AUTH_BYTES)
        try:
            challenge, cookie = await self._service.auth(body, _caller(request))
        except kbs.KbsVersionRefused as problem:
            _tell(request, problem)
            return refusal(401, "AttestationError", f"Attestation error: {problem.sentence}")
        except Unreachable as problem:
            return _later(problem)
        except StrongroomError as problem:
            _tell(request, problem)
            return refusal(401, "AttestationError", "Attestation error: RCAR handshake Auth failed")
        return _json(challenge, cookie=cookie)

    async def attest(self, request: Request) -> Response:
        body, cookie = await _body(request, kbs.MAX_ATTEST_BYTES), _cookie(request)
        try:
            token = await self._service.attest(body, cookie, _caller(request))
        except Unreachable as problem:
            return _later(problem)
        except KbsNotProven:
            return refusal(401, "AttestationError", "Attestation error: RCAR handshake Attest failed")
        except StrongroomError as problem:  # of the broker's own store or keys: its owner's to know
            return _later(problem)
        return _json(json.dumps({"token": token}).encode("ascii"), cookie=cookie)

    async def resource(self, request: Request) -> Response:
        if request.method != "GET":  # and what only looks is not given a lease
            return await _administered(request)
        try:
            sealed = await self._service.resource(_path(request), _cookie(request), _bearer(request), _caller(request))
        except BadSecretName:
            return refusal(404, "InvalidRequestPath", "the path names no resource")
        except (kbs_sessions.KbsSessionAbsent, kbs_sessions.KbsSessionExpired, TokenUnsound):
            return refusal(401, "TokenNotFound", "Attestation Token not found")
        except KbsNotReleased:
            return refusal(403, "PolicyDeny", "Access denied by policy")
        except StrongroomError as problem:  # of the broker's own store or keys: its owner's to know
            return _later(problem)
        return _json(sealed)


def refusal(status: int, name: str, detail: str, *, headers: dict[str, str] | None = None) -> Response:
    """Return an error as stock servers and clients know it."""
    body = json.dumps({"type": TYPE + name, "detail": detail}).encode("ascii")
    return Response(body, status, headers=headers, media_type=PROBLEM)


async def _administered(request: Request) -> Response:  # noqa: ARG001  # the same whatever was asked
    return refusal(401, "AdminAuthAccess", "Admin auth error: secrets and policies are administered at the admin port")


async def _alive(request: Request) -> Response:  # noqa: ARG001  # for balancers: this port answers
    return Response(b"ok\n", media_type="text/plain")


def _tell(request: Request, problem: StrongroomError) -> None:
    """Say in the owner's log why there is no challenge; nothing was judged, so the ledger has no line of it."""
    caller = _caller(request)
    _log.warning("%s: no challenge for %s: %s [%s]", caller.request_id, caller.peer, problem.sentence, problem.code)


async def _no_plugin(request: Request, problem: Exception) -> Response:  # noqa: ARG001  # the same whatever was asked
    return refusal(404, "PluginNotFound", "there is no such plugin")


def _later(problem: StrongroomError) -> Response:
    """Answer that the broker cannot answer now; why is the owner's to know."""
    if not isinstance(problem, Unreachable):
        _log.error("kbs: %s [%s]", problem.sentence, problem.code)
    status = 429 if isinstance(problem, kbs_sessions.KbsSessionsFull | RateLimited) else 503
    retry = {"Retry-After": str(problem.retry_after_s if isinstance(problem, RateLimited) else RETRY_AFTER_S)}
    return refusal(status, "ServiceUnavailable", "the broker cannot answer now", headers=retry)


def _json(body: bytes, *, cookie: str | None = None) -> Response:
    answer = Response(body, media_type="application/json")
    if cookie is not None:
        ends = datetime.now(UTC) + timedelta(milliseconds=kbs_sessions.SESSION_MS)
        answer.headers["Set-Cookie"] = (
            f"{kbs.COOKIE}={cookie}; Expires={format_datetime(ends, usegmt=True)}; Path={kbs.PREFIX}; HttpOnly; Secure"
        )
    return answer


async def _body(request: Request, longest: int) -> bytes:
    """Return the body; longer ones are refused before they are kept. Raises BodyTooLarge, which is a 413."""
    pieces, left = [], longest
    async for piece in request.stream():
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge(f"the body is longer than {longest} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _path(request: Request) -> str:
    """Return the path behind the route as it was sent, undecoded, without one leading slash and without its query."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode("utf-8", errors="surrogatepass")
    path = raw.decode("latin-1").partition("?")[0]
    return path.removeprefix(_RESOURCE).removeprefix("/")


def _cookie(request: Request) -> str | None:
    header = request.headers.get("cookie", "")
    if len(header) > MAX_COOKIE_HEADER:
        return None
    try:
        found = SimpleCookie(header).get(kbs.COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and _COOKIE.fullmatch(found.value) else None


def _bearer(request: Request) -> str | None:
    """Return the token; a header that holds none counts as one that nobody signed."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    found = _BEARER.fullmatch(header)
    return found[1] if found else ""


def _caller(request: Request) -> Caller:
    client = request.client
    request_id = str(request.scope.get("state", {}).get("request_id", "")) or "kbs"
    return Caller("" if client is None else f"{client.host}:{client.port}", request_id)
