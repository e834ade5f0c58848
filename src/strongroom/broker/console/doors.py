"""What every request of the console goes through: headers, who asks, and whether a form is one of ours.

Deny by default: nothing but the login page and three static files is answered to nobody. What the broker tells an
actor it tells that actor alone, so no answer is kept by a cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from strongroom.broker.admin.problems import NotAuthenticated
from strongroom.broker.admin.roles import Actor
from strongroom.broker.console.sessions import SESSION_MS, People, Sessions, form_token_fits
from strongroom.errors import BadInput, Refused

MAX_FORM_BYTES: Final = 16 * 1024
MAX_FIELDS: Final = 16
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # stricter, a browser would name no origin with our own forms
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class FormRefused(Refused):
    """A form did not come from a page of this console, or from one that is too old."""

    code = "SR-CONSOLE-FORM"
    fix = "Open the page again and press the button there."


class FormUnreadable(BadInput):
    """A form is too long or is not what the console's pages send."""

    code = "SR-CONSOLE-FIELDS"
    fix = "Use the console's own pages; programs use the API under /v1."


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks, and what ties forms to this browser."""

    actor: Actor
    cookie: str  # the session's token, or a random value for who came by certificate; empty: none was sent
    by_session: bool


def cookie_name(request: Request, what: str) -> str:
    """Return a cookie's name: bound to this host by its prefix, and to the port, which cookies do not know."""
    server = request.scope.get("server") or ("", 0)
    return f"__Host-strongroom-{what}-{server[1]}"


def visitor(request: Request, sessions: Sessions, people: People) -> Visitor:
    """Return who asks: by certificate if one was presented, else by session. Raises NotAuthenticated."""
    certificate = request.scope.get("state", {}).get("client_certificate")
    if isinstance(certificate, bytes):
        cookie = request.cookies.get(cookie_name(request, "form"), "")
        return Visitor(actor=people.actor_of(certificate), cookie=cookie, by_session=False)
    token = request.cookies.get(cookie_name(request, "session"), "")
    if not token:
        raise NotAuthenticated("neither a certificate nor a session was presented")
    return Visitor(actor=sessions.actor(token, browser(request)), cookie=token, by_session=True)


def browser(request: Request) -> str:
    """Return what the browser calls itself, which a session is bound to."""
    return request.headers.get("user-agent", "")[:512]


def set_cookie(response: Response, name: str, value: str, *, seconds: int = SESSION_MS // 1000) -> None:
    """Set a cookie that scripts cannot read and other sites cannot make a browser send; 0 seconds take it away."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict")


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, the first of each name. Raises FormUnreadable."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise FormUnreadable("this is no form")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise FormUnreadable(f"the form is longer than {MAX_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:  # also UnicodeDecodeError
        raise FormUnreadable("the form cannot be read") from None
    return dict(reversed(pairs))


def check_form(request: Request, fields: dict[str, str], cookie: str) -> None:
    """Raise FormRefused unless the form came from a page that this console gave to this browser."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or site not in {"same-origin", "none"} or not form_token_fits(fields.get("csrf", ""), cookie):
        raise FormRefused("the form does not belong to this browser's console")
