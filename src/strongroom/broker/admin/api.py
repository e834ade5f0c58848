"""The administration over HTTP: routes made from the table of operations, for callers with a registered certificate.

World: Starlette's requests and a few threads, since an action waits for the disk. The certificate is looked up before
anything else of a request is read, and everybody without one gets the same answer (threats SV-16, SV-10).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.arguments import from_json, from_query
from strongroom.broker.admin.openapi import document
from strongroom.broker.admin.operations import MAX_POLICY_CHARS, OPERATIONS, PREFIX, Operation
from strongroom.broker.admin.problems import AlreadySo, BadArgument, LastOwner, NoSuchThing, NotAuthenticated, Outdated
from strongroom.broker.admin.roles import Actor
from strongroom.broker.floors import FloorLowered
from strongroom.broker.policy.history import UnknownPolicyVersion
from strongroom.broker.revocations import RevocationUnknown
from strongroom.broker.tenants import TenantTaken, UnknownTenant
from strongroom.broker.web import client_certificate_of, problem, problem_of, request_id_of
from strongroom.errors import StrongroomError
from strongroom.pki.disk import AlreadyThere
from strongroom.wire import strict_json
from strongroom.workspace import UnknownSecret

OPENAPI_PATH: Final = "/v1/openapi.json"
MAX_BODY_BYTES: Final = 2 * MAX_POLICY_CHARS
_JSON: Final = "application/json"
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MAX_QUERY: Final = 4096
_STATUS: Final[dict[type[StrongroomError], int]] = {
    NotAuthenticated: 401,
    NoSuchThing: 404, UnknownTenant: 404, UnknownSecret: 404, RevocationUnknown: 404, UnknownPolicyVersion: 404,
    AlreadySo: 409, TenantTaken: 409, AlreadyThere: 409, LastOwner: 409, FloorLowered: 409,
    Outdated: 412,
}  # fmt: skip
_log: Final = logging.getLogger("strongroom.broker")
Endpoint = Callable[[Request], Awaitable[Response]]


def routes(administration: Administration) -> list[Route]:
    """Return the routes of every operation, and of their description."""
    found = [
        Route(operation.path, _endpoint(administration, operation), methods=[operation.method], name=operation.name)
        for operation in OPERATIONS.values()
    ]
    return [
        *found,
        Route(OPENAPI_PATH, _authenticated(administration, _describe), methods=["GET"], name="openapi"),
        Route(f"{PREFIX}/{{rest:path}}", _authenticated(administration, _nothing), methods=_METHODS, name="nothing"),
    ]


def _endpoint(administration: Administration, operation: Operation) -> Endpoint:
    action = getattr(administration, operation.name)

    async def answer(request: Request, actor: Actor) -> Response:
        arguments = await _arguments(request, operation)
        value = await run_in_threadpool(action, actor, **arguments)
        return JSONResponse(value, headers={"cache-control": "no-store"})

    return _authenticated(administration, answer)


def _authenticated(administration: Administration, answer: Callable[[Request, Actor], Awaitable[Response]]) -> Endpoint:
    """Return an endpoint that finds out who asks before it reads the request."""

    async def endpoint(request: Request) -> Response:
        try:
            actor = await run_in_threadpool(administration.actor_of, client_certificate_of(request.scope))
            return await answer(request, actor)
        except NotAuthenticated as refusal:
            _log.warning("%s: admin: %s", request_id_of(request.scope), refusal.sentence)
            return problem(401, refusal.code, "no active administrator is identified", fix=refusal.fix)
        except StrongroomError as error:
            return _refused(request, error)

    return endpoint


def _refused(request: Request, error: StrongroomError) -> Response:
    _log.info("%s: admin: %s [%s]", request_id_of(request.scope), error.sentence, error.code)
    status = _STATUS.get(type(error))
    if status is None:
        return problem_of(error)
    return problem(status, error.code, error.sentence, fix=error.fix)


async def _nothing(request: Request, _actor: Actor) -> Response:
    """Say that there is no such operation, to who is somebody: strangers are not told which paths there are."""
    raise NoSuchThing(f"there is no operation {request.method} {request.url.path[:100]}")


async def _describe(_request: Request, _actor: Actor) -> Response:
    return JSONResponse(document())


async def _arguments(request: Request, operation: Operation) -> dict[str, Any]:
    """Read path, query and body, strictly. Raises BadArgument."""
    if operation.method == "GET":
        return from_query(operation, _joined(request, request.query_params.multi_items()))
    if request.url.query:
        raise BadArgument("a change takes its arguments in the body, not in the query")
    body = await request.body()
    values = _object(request, body) if body else {}
    twice = sorted(set(values) & set(request.path_params))
    if twice:
        raise BadArgument(f"{twice[0]} is given in the path")
    return from_json(operation, {**values, **request.path_params})


def _object(request: Request, body: bytes) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise BadArgument(f"the body is not {_JSON}")
    values = strict_json.loads(body, what="the body", error=BadArgument, max_bytes=MAX_BODY_BYTES, max_depth=3)
    if not isinstance(values, dict):
        raise BadArgument("the body is not a JSON object")
    return values


def _joined(request: Request, query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return path and query parameters; none may be there twice."""
    if len(request.url.query) > _MAX_QUERY:
        raise BadArgument("the query is too long")
    found: dict[str, str] = {name: str(value) for name, value in request.path_params.items()}
    for name, value in query:
        if name in found:
            raise BadArgument(f"{name[:64]!r} is given twice")
        found[name] = value
    return found
