"""Who is at the browser: a client certificate, or a session that a one-time login began.

World: entropy and the store's table `logins`, which holds hashes alone. A session lasts an hour, is bound to the
browser that began it, ends when its person logs out or loses the role, and opens the console alone (threat SA-09).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Any, Final, Protocol

from strongroom.broker.admin.problems import NotAuthenticated
from strongroom.broker.admin.roles import Actor
from strongroom.broker.store import Store, Tx

SESSION_MS: Final = 60 * 60 * 1000
MAX_TOKEN_CHARS: Final = 128
_TOKEN_BYTES: Final = 32
_SESSION: Final = "session"


class People(Protocol):
    """What the administration knows about people."""

    def actor_of(self, certificate: bytes | None) -> Actor:
        """Return whom a client certificate (DER) identifies. Raises NotAuthenticated."""

    def redeem_login(self, token: str) -> Actor:
        """Return who asked for a login token, once. Raises NotAuthenticated."""

    def login_seal(self, hashed: str, kind: str, actor: Actor, expires_ms: int) -> str:
        """Return what vouches for a session's row."""

    def login_actor(self, hashed: str, kind: str, row: Sequence[Any]) -> Actor:
        """Return whom a row (name, role, tenant, expires_ms, seal) names. Raises NotAuthenticated without its seal."""

    def check_active(self, actor: Actor) -> None:
        """Raise NotAuthenticated if the person is no administrator any more."""


class Sessions:
    """Begins, finds and ends sessions. Threads and brokers of one store may share them."""

    def __init__(self, store: Store, people: People) -> None:
        self._store = store
        self._people = people

    def begin(self, code: str, browser: str) -> str:
        """Turn a one-time code into a session's token. Raises NotAuthenticated."""
        if not 0 < len(code) <= MAX_TOKEN_CHARS:
            raise NotAuthenticated("the login is unknown, used or too old")
        actor = self._people.redeem_login(code)
        token = secrets.token_urlsafe(_TOKEN_BYTES)

        def write(tx: Tx) -> None:
            tx.execute("DELETE FROM logins WHERE kind = ? AND expires_ms <= ?", (_SESSION, tx.now_ms))
            hashed, ends = _hashed(token, browser), tx.now_ms + SESSION_MS
            tx.execute(
                "INSERT INTO logins (token_hash, kind, name, role, tenant, expires_ms, used_ms, seal)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (hashed, _SESSION, actor.name, actor.role.value, actor.tenant, ends, tx.now_ms,
                 self._people.login_seal(hashed, _SESSION, actor, ends)),
            )  # fmt: skip

        self._store.write(write)
        return token

    def actor(self, token: str, browser: str) -> Actor:
        """Return whose session this is. Raises NotAuthenticated for what is unknown, over, or another browser's."""
        if not 0 < len(token) <= MAX_TOKEN_CHARS:
            raise NotAuthenticated("this is no session")
        hashed = _hashed(token, browser)
        rows = self._store.read(
            lambda tx: tx.execute(
                "SELECT name, role, tenant, expires_ms, seal FROM logins"
                " WHERE token_hash = ? AND kind = ? AND expires_ms > ?",
                (hashed, _SESSION, tx.now_ms),
            )
        )
        if not rows:
            raise NotAuthenticated("the session is unknown or over")
        actor = self._people.login_actor(hashed, _SESSION, rows[0])
        self._people.check_active(actor)
        return actor

    def end(self, token: str, browser: str) -> None:
        """End a session, if it is one."""
        hashed = _hashed(token[:MAX_TOKEN_CHARS], browser)
        self._store.write(lambda tx: tx.execute("DELETE FROM logins WHERE token_hash = ?", (hashed,)))


def _hashed(token: str, browser: str) -> str:
    """Return what the store holds of a session: without the token and the browser's name it is worth nothing."""
    inner = hashlib.sha256(browser.encode("utf-8", "replace")).digest()
    return hashlib.sha256(b"strongroom console session\0" + inner + token.encode("utf-8", "replace")).hexdigest()


def form_token(cookie: str) -> str:
    """Return what a form has to say so that it counts: only a page of this console knows it (cross-site requests)."""
    return hmac.new(cookie.encode("utf-8", "replace"), b"strongroom console form", hashlib.sha256).hexdigest()


def form_token_fits(given: str, cookie: str) -> bool:
    """Compare a form's word with the cookie it came with, in constant time."""
    return bool(cookie) and hmac.compare_digest(given.encode("utf-8", "replace"), form_token(cookie).encode())


def new_cookie() -> str:
    """Return a random value for a cookie that only ties forms to a browser."""
    return secrets.token_urlsafe(_TOKEN_BYTES)
