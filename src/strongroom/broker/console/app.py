"""The console as an ASGI application, to be mounted at /console of the administrative port."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.problems import NoSuchThing, NotAuthenticated
from strongroom.broker.console import changes, pages
from strongroom.broker.console.administered import Administered
from strongroom.broker.console.checking import LedgerCheck
from strongroom.broker.console.doors import (
    HEADERS,
    browser,
    check_form,
    cookie_name,
    read_form,
    set_cookie,
    visitor,
)
from strongroom.broker.console.rendering import render, static_file
from strongroom.broker.console.sessions import Sessions, form_token, new_cookie
from strongroom.broker.console.tally import Tally
from strongroom.broker.console.visit import Desk, Visit
from strongroom.broker.ledger.audit import Verified
from strongroom.broker.ledger.reading import Progress
from strongroom.broker.store import Store
from strongroom.broker.tenants import UnknownTenant
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

_READ: Final[dict[str, Callable[[Visit], Response]]] = {
    "/": pages.overview, "/replicas": pages.replicas, "/decisions": pages.decisions,
    "/decisions/{seq}": pages.decision, "/decisions/{seq}/proof.json": pages.proof, "/models": pages.models,
    "/leases": pages.leases, "/policy": pages.policy, "/ledger": pages.ledger,
    "/ledger/checkpoint.txt": pages.checkpoint, "/collateral": pages.collateral, "/people": pages.people,
    "/pulse": pages.pulse,
}  # fmt: skip
_CHANGE: Final[dict[str, Callable[[Visit, dict[str, str]], Response]]] = {
    "/leases/end": changes.end_lease, "/leases/revoke": changes.revoke, "/ledger/verify": changes.verify,
    "/logout": changes.log_out,
}  # fmt: skip
_NO_CODE: Final = "That code opens nothing: it is unknown, was used, or is too old. Ask for a new one."
_TITLES: Final = {
    400: "That cannot be done as it is",
    403: "That is not for your role",
    404: "There is nothing here",
    503: "Not at the moment",
}
_log = logging.getLogger("strongroom.broker.console")
Endpoint = Callable[[Request], Awaitable[Response]]


def console_app(administration: Administration, *, store: Store, verify: Callable[[Progress], Verified]) -> ASGIApp:
    """Return the console over an administration and its store; `verify` walks the whole ledger, for the button."""
    desk = Desk(
        administration=administration, facts=Administered(administration, store),
        sessions=Sessions(store, administration), check=LedgerCheck(verify), tally=Tally(),
    )  # fmt: skip
    console = _Console(desk)
    routes = [
        Route("/static/{name}", console.static, methods=["GET"]),
        Route("/login", console.login_page, methods=["GET"]),
        Route("/login", console.log_in, methods=["POST"]),
        *(Route(path, console.reads(handler), methods=["GET"]) for path, handler in _READ.items()),
        *(Route(path, console.changes(handler), methods=["POST"]) for path, handler in _CHANGE.items()),
    ]
    application = Starlette(routes=routes, exception_handlers={HTTPException: console.no_page})
    return _with_headers(application)


def _with_headers(application: ASGIApp) -> ASGIApp:
    """Add what every answer says, whoever made it."""
    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    names = {name for name, _ in headers}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [each for each in message.get("headers", ()) if each[0].lower() not in names]
                message["headers"] = [*own, *headers]
            await send(message)

        await application(scope, receive, tell)

    return serve


class _Console:
    """The endpoints: they find out who asks, run a handler in a thread, and show what it raises."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def reads(self, handler: Callable[[Visit], Response]) -> Endpoint:
        """Return the endpoint of a page."""

        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(self._visit, request, handler)

        return endpoint

    def changes(self, handler: Callable[[Visit, dict[str, str]], Response]) -> Endpoint:
        """Return the endpoint of a button."""

        async def endpoint(request: Request) -> Response:
            try:
                fields = await read_form(request)
            except BadInput as problem:
                sentence = problem
                return await run_in_threadpool(self._visit, request, lambda visit: _problem(visit, sentence))

            def run(visit: Visit) -> Response:
                check_form(request, fields, visit.visitor.cookie)
                return handler(visit, fields)

            return await run_in_threadpool(self._visit, request, run)

        return endpoint

    def _visit(self, request: Request, handler: Callable[[Visit], Response]) -> Response:
        try:
            found = visitor(request, self._desk.sessions, self._desk.administration)
        except NotAuthenticated as problem:
            _log.info("console: nobody at %s: %s", request.url.path, problem.sentence)
            return _to_login(request)
        visit = Visit(self._desk, request, found)
        try:
            return handler(visit)
        except StrongroomError as problem:
            return _problem(visit, problem)

    async def static(self, request: Request) -> Response:
        """Return one of the few files that need nobody."""
        found = static_file(str(request.path_params["name"]))
        return Response(status_code=404) if found is None else Response(found[0], media_type=found[1])

    async def login_page(self, request: Request) -> Response:
        """Ask for a one-time code; its place in the address never reaches the broker."""
        return _login(request)

    async def log_in(self, request: Request) -> Response:
        """Turn a one-time code into a session."""
        try:
            fields = await read_form(request)
            check_form(request, fields, request.cookies.get(cookie_name(request, "form"), ""))
            token = await run_in_threadpool(
                self._desk.sessions.begin, fields.get("code", "").strip(), browser(request)
            )  # fmt: skip
        except (BadInput, Refused) as problem:
            _log.warning("console: no login: %s [%s]", problem.sentence, problem.code)
            return _login(request, _NO_CODE if isinstance(problem, NotAuthenticated) else problem.fix, status=403)
        response = RedirectResponse(f"{_base(request)}/", 303)
        set_cookie(response, cookie_name(request, "session"), token)
        return response

    async def no_page(self, request: Request, error: Exception) -> Response:
        """Show that there is nothing at an address, to who is somebody."""
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return Response(status_code=405, headers=error.headers)
        return await run_in_threadpool(
            self._visit, request, lambda visit: _problem(visit, NoSuchThing("The console has no such page."))
        )


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _to_login(request: Request) -> Response:
    if request.url.path.endswith("/pulse"):
        return Response(status_code=401)
    response = RedirectResponse(f"{_base(request)}/login", 303)
    name = cookie_name(request, "session")
    if name in request.cookies:
        set_cookie(response, name, "", seconds=0)
    return response


def _login(request: Request, problem: str = "", *, status: int = 200) -> Response:
    name = cookie_name(request, "form")
    cookie = request.cookies.get(name) or new_cookie()
    page = render("login.html", base=_base(request), problem=problem, now_ms=0, csrf_token=form_token(cookie))
    response = HTMLResponse(page, status)
    set_cookie(response, name, cookie)
    return response


def _problem(visit: Visit, problem: StrongroomError) -> Response:
    """Show an error of ours to an actor, who may know the reason."""
    if isinstance(problem, NoSuchThing | UnknownTenant):
        status = 404
    elif isinstance(problem, BadInput):
        status = 400
    else:
        status = 403 if isinstance(problem, Refused) else 503 if isinstance(problem, Unreachable) else 500
    title = _TITLES.get(status, "The broker stops here")
    request_id = str(visit.request.scope.get("state", {}).get("request_id", ""))
    about = {"title": title, "sentence": problem.sentence, "fix": problem.fix, "code": problem.code}
    return visit.show("error.html", "-", status=status, live=False, problem=about, request_id=request_id)
