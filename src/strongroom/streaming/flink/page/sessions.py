"""Who may look: a password from a file or a link that works once begin a session, which a cookie carries.

World: entropy and the clock. Codes, passwords and tokens are compared by their hashes in constant time; wrong ones are
counted for all callers together, and too many of them are not looked at. Nothing outlives the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from strongroom.errors import Refused
from strongroom.secret import Secret

SESSION_S: Final = 8 * 60 * 60.0
LINK_S: Final = 15 * 60.0
MAX_SESSIONS: Final = 64
MAX_CHARS: Final = 1024
WRONG_PER_MINUTE: Final = 10


class LoginRefused(Refused):
    """The password or the link is wrong, used or too old, or too many wrong ones were tried."""

    code = "SR-FLINK-LOGIN"
    fix = "Use the password in the page's folder, or start strongroom flink page again for a new link."


class Sessions:
    """Begins, finds and ends sessions. Belongs to one event loop."""

    def __init__(self, password: Secret, *, clock: Callable[[], float] = time.monotonic) -> None:
        with password.reveal() as raw:
            self._password = _hashed(raw.decode("utf-8", "replace"))
        self._clock = clock
        self._links: dict[bytes, float] = {}
        self._sessions: dict[bytes, float] = {}
        self._wrong: list[float] = []

    def new_link(self) -> str:
        """Return a code that logs in once, within a quarter of an hour."""
        code = secrets.token_urlsafe(32)
        self._links[_hashed(code)] = self._clock() + LINK_S
        return code

    def begin(self, word: str) -> str:
        """Turn a password or a link's code into a session's token. Raises LoginRefused."""
        now = self._clock()
        self._wrong = [moment for moment in self._wrong if moment > now - 60]
        if len(self._wrong) >= WRONG_PER_MINUTE:
            raise LoginRefused("too many wrong passwords; wait a minute")
        hashed = _hashed(word[:MAX_CHARS])
        if not (hmac.compare_digest(hashed, self._password) or self._links.pop(hashed, 0.0) > now):
            self._wrong.append(now)
            raise LoginRefused("this is not the password, and no link that works now")
        token = secrets.token_urlsafe(32)
        self._sessions = {each: ends for each, ends in self._sessions.items() if ends > now}
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda each: self._sessions[each])]
        self._sessions[_hashed(token)] = now + SESSION_S
        return token

    def holds(self, token: str) -> bool:
        """Return whether a token's session goes on."""
        return len(token) <= MAX_CHARS and self._sessions.get(_hashed(token), 0.0) > self._clock()

    def end(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_hashed(token), None)


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
