"""What the console's buttons do. Each is one action of the administration, which asks the role and writes the ledger.

A form counts only with the word that a page of this console gave this browser; the answer sends the browser to a page.
"""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from strongroom.broker.admin.roles import permit
from strongroom.broker.console.doors import browser, cookie_name, set_cookie
from strongroom.broker.console.visit import Visit


def end_lease(visit: Visit, fields: dict[str, str]) -> Response:
    """End one lease."""
    visit.facts.end_lease(visit.actor, lease=fields.get("lease", ""), reason=fields.get("reason", ""))
    return _see(visit, "leases?done=ended")


def revoke(visit: Visit, fields: dict[str, str]) -> Response:
    """Revoke a program for one tenant, and end the leases that it touches."""
    visit.facts.revoke(
        visit.actor, tenant=fields.get("tenant", ""), kind=fields.get("kind", ""), value=fields.get("value", ""),
        reason=fields.get("reason", ""),
    )  # fmt: skip
    return _see(visit, "leases?done=revoked")


def verify(visit: Visit, fields: dict[str, str]) -> Response:  # noqa: ARG001  # a button without fields
    """Walk the whole ledger, unless somebody else's walk runs already."""
    permit(visit.actor, "ledger_lines")
    visit.desk.check.start(by=visit.actor.name, now_ms=visit.now_ms)
    return _see(visit, "ledger")


def log_out(visit: Visit, fields: dict[str, str]) -> Response:  # noqa: ARG001
    """End the session."""
    response = _see(visit, "login")
    if visit.visitor.by_session:
        visit.desk.sessions.end(visit.visitor.cookie, browser(visit.request))
        set_cookie(response, cookie_name(visit.request, "session"), "", seconds=0)
    return response


def _see(visit: Visit, place: str) -> Response:
    return RedirectResponse(f"{visit.base}/{place}", 303)
