"""One look of one person at one page: who, what they may, and the page in the frame that all pages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from strongroom.broker.admin.actions import Administration
from strongroom.broker.admin.problems import NotAllowed
from strongroom.broker.admin.roles import Actor, permit
from strongroom.broker.console.administered import Administered
from strongroom.broker.console.checking import LedgerCheck
from strongroom.broker.console.doors import Visitor, cookie_name, set_cookie
from strongroom.broker.console.rendering import render
from strongroom.broker.console.sessions import Sessions, form_token, new_cookie
from strongroom.broker.console.tally import Tally
from strongroom.broker.console.wording import Badge, Tone, moment
from strongroom.errors import StrongroomError, Tampered

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class PageName:
    """A page in the navigation; `action` is what the actor has to be permitted to see it."""

    path: str
    name: str
    action: str


PAGES: Final = (
    PageName("", "Overview", "status"),
    PageName("replicas", "Replicas", "list_leases"),
    PageName("decisions", "Decisions", "list_decisions"),
    PageName("models", "Models and keys", "list_keys"),
    PageName("leases", "Leases", "list_leases"),
    PageName("policy", "Policy", "policy_history"),
    PageName("ledger", "Ledger", "ledger_head"),
    PageName("collateral", "Collateral", "status"),
    PageName("people", "Tenants and people", "list_admins"),
)
NOTICES: Final = {
    "ended": Badge("The lease is ended. The replica is refused at its next renewal unless it proves itself again.",
                   Tone.GOOD),
    "revoked": Badge("The program is revoked: nothing is released to it any more, and its leases are ended.",
                     Tone.GOOD),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desk:
    """What all visits share."""

    administration: Administration
    facts: Administered
    sessions: Sessions
    check: LedgerCheck
    tally: Tally


class Visit:
    """One request of somebody who has been identified. Used by one thread."""

    def __init__(self, desk: Desk, request: Request, visitor: Visitor) -> None:
        self.desk = desk
        self.facts = desk.facts
        self.request = request
        self.visitor = visitor
        self.problems: list[StrongroomError] = []  # what kept parts of the page from being made

    @property
    def actor(self) -> Actor:
        """Who looks."""
        return self.visitor.actor

    @property
    def base(self) -> str:
        """The path that the console is mounted at."""
        return str(self.request.scope.get("root_path", ""))

    @cached_property
    def now_ms(self) -> int:
        """The time of this page, by the store's clock."""
        return self.facts.now_ms()

    def may(self, action: str) -> bool:
        """Return whether the table of roles has this action for who looks."""
        try:
            permit(self.actor, action)
        except NotAllowed:
            return False
        return True

    def part(self, action: str, make: Callable[[], T], default: D) -> T | D:
        """Return a part of a page if the role has it; a part that cannot be made is noted, and the rest still shows."""
        if not self.may(action):
            return default
        try:
            return make()
        except StrongroomError as problem:
            if all((problem.code, problem.sentence) != (each.code, each.sentence) for each in self.problems):
                self.problems.append(problem)
            return default

    def query(self, name: str, limit: int = 128) -> str:
        """Return one word of the address, cut to a length."""
        return self.request.query_params.get(name, "")[:limit].strip()

    def mark(self) -> str:
        """Return what differs whenever there is something new to see."""
        try:
            seq = str(self.facts.head(self.actor).seq)
        except Tampered as problem:
            seq = problem.code
        check = self.desk.check.last if self.may("ledger_lines") else None
        return f"{seq}.{check.mark if check else ''}"

    def _sees_several(self) -> bool:
        """Return whether tables have to say whose things they show."""
        return (
            not self.actor.confined and len(self.part("list_tenants", lambda: self.facts.tenants(self.actor), ())) > 1
        )

    def show(self, template: str, here: str, *, status: int = 200, live: bool = True, **values: Any) -> Response:  # noqa: ANN401
        """Return a page in the frame."""
        cookie = self.visitor.cookie or new_cookie()
        notice = NOTICES.get(self.query("done"))
        frame: Mapping[str, Any] = {
            "base": self.base, "here": here, "pages": [each for each in PAGES if self.may(each.action)],
            "actor": self.actor, "by_session": self.visitor.by_session, "csrf_token": form_token(cookie),
            "now_ms": self.now_ms, "made": moment(self.now_ms, self.now_ms), "live": live,
            "mark": self.mark() if live else "", "notice": notice, "tenants": self._sees_several(),
        }  # fmt: skip
        response = HTMLResponse(render(template, **frame, **values), status)
        if not self.visitor.cookie:
            set_cookie(response, cookie_name(self.request, "form"), cookie)
        return response
