"""KBS sessions in the store: a nonce that counts once, for two minutes, at whichever broker asks first (threat FB-01).

Repository over one transaction. What a client holds is the cookie; the store holds its SHA-256, so that reading the
store opens no session; and what a session has proved is sealed by the brokers, so that writing to the store makes
none (threat KD-11). Rows are bounded in number and age, and a used nonce stays refused until its row is gone, when
its session is unknown (threat SV-14).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from strongroom.broker.kbs import NONCE_BYTES, KbsMessageMalformed, check_nonce, nonce_text
from strongroom.broker.store import Tx, as_bytes
from strongroom.errors import Refused, Tampered, Unreachable

NONCE_MS: Final = 120_000
SESSION_MS: Final = 300_000
KEEP_MS: Final = 600_000  # how long a session that is over can still be told from one that never was
MAX_SESSIONS: Final = 50_000
COOKIE_CHARS: Final = 32
AUTHED: Final = "authed"
BURNT: Final = "burnt"
ATTESTED: Final = "attested"
_SEAL_PURPOSE: Final = b"strongroom kbs session v1"


class KbsSessionAbsent(Refused):
    """A request brings no session, or one that this broker's store does not know."""

    code = "SR-KBS-SESSION"
    fix = "Start with POST /kbs/v0/auth and send the cookie that it sets."


class KbsSessionExpired(Refused):
    """A session, or the nonce in it, is too old."""

    code = "SR-KBS-EXPIRED"
    fix = "Start again with POST /kbs/v0/auth and attest within two minutes; check that evidence is not slow to make."


class KbsNonceUsed(Refused):
    """A nonce was presented a second time; the first time counted, however it ended."""

    code = "SR-KBS-NONCE-USED"
    fix = "Start again with POST /kbs/v0/auth: each attestation has a nonce of its own. If no client did this, replay."


class KbsNonceForeign(Refused):
    """A nonce is not the one of its session."""

    code = "SR-KBS-NONCE-FOREIGN"
    fix = "Copy the challenge's nonce byte for byte, and send the cookie that came with it."


class KbsNonceMalformed(Refused):
    """What was presented as a nonce is none: cut short, or in another spelling than it was given out in."""

    code = "SR-KBS-NONCE"
    fix = "Copy the challenge's nonce byte for byte: 32 bytes in 44 characters of base64."


class KbsSessionForged(Tampered):
    """What a session is said to have proved was not written by a broker of this store."""

    code = "SR-KBS-SESSION-FORGED"
    fix = "Find out who can write to the database: somebody tried to be given secrets without evidence."


class KbsSessionsFull(Unreachable):
    """More clients are between challenge and answer than the broker keeps count of."""

    code = "SR-KBS-SESSIONS-FULL"
    fix = "Try again in some minutes; if it goes on, look in the log for who opens sessions and never attests."


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One row; `id` is the SHA-256 of the cookie, times are milliseconds since 1970 by the store's clock."""

    id: str
    nonce: str
    tee: str
    state: str
    created_ms: int
    expires_ms: int
    body: dict[str, Any]


def session_id(cookie: str) -> str:
    """Return the id that a cookie's session has in the store."""
    return hashlib.sha256(cookie.encode("utf-8", errors="surrogatepass")).hexdigest()


def new_cookie() -> str:
    """Return the cookie of a new session."""
    return secrets.token_hex(COOKIE_CHARS // 2)


def open_session(tx: Tx, cookie: str, tee: str, *, negotiated: bool, limit: int = MAX_SESSIONS) -> Session:
    """Begin a session with a nonce of its own. Raises KbsSessionsFull."""
    if "kbs sessions" not in tx.memo:
        rows = tx.execute("SELECT count(*) FROM sessions WHERE expires_ms > ?", (tx.now_ms,))
        tx.memo["kbs sessions"] = int(rows[0][0])
    if tx.memo["kbs sessions"] >= limit:
        raise KbsSessionsFull(f"{limit} sessions are open")
    tx.memo["kbs sessions"] += 1
    session = Session(
        id=session_id(cookie), nonce=nonce_text(secrets.token_bytes(NONCE_BYTES)), tee=tee, state=AUTHED,
        created_ms=tx.now_ms, expires_ms=tx.now_ms + SESSION_MS, body={"negotiated": negotiated},
    )  # fmt: skip
    tx.execute("DELETE FROM sessions WHERE expires_ms < ?", (tx.now_ms - KEEP_MS,))
    tx.execute(
        "INSERT INTO sessions (id, nonce, tee, state, created_ms, expires_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (session.id, session.nonce, tee, AUTHED, session.created_ms, session.expires_ms, _packed(session.body)),
    )
    return session


def find(tx: Tx, found_id: str) -> Session | None:
    """Return a session, whatever its state and age."""
    rows = tx.execute(
        "SELECT id, nonce, tee, state, created_ms, expires_ms, body FROM sessions WHERE id = ?", (found_id,)
    )
    if not rows:
        return None
    name, nonce, tee, state, created_ms, expires_ms, body = rows[0]
    return Session(
        id=name, nonce=nonce, tee=tee, state=state, created_ms=created_ms, expires_ms=expires_ms,
        body=_unpacked(as_bytes(body)),
    )  # fmt: skip


def burn(tx: Tx, found_id: str, nonce: str) -> Refused | None:
    """Use up a session's nonce; return why it does not count, or None. The first call alone ever gets None.

    A nonce that is too old or another's burns the session as well: its client has to start again.
    """
    session = find(tx, found_id)
    if session is None:
        return KbsSessionAbsent("the cookie names no session")
    rows = tx.execute(
        "UPDATE sessions SET state = ? WHERE id = ? AND state = ? RETURNING id", (BURNT, found_id, AUTHED)
    )
    if not rows:
        return KbsNonceUsed("the nonce of this session was presented before")
    if tx.now_ms >= session.created_ms + NONCE_MS:
        return KbsSessionExpired(f"the nonce is older than {NONCE_MS // 1000} s")
    try:
        check_nonce(nonce)
    except KbsMessageMalformed as problem:
        return KbsNonceMalformed(problem.sentence)
    if not secrets.compare_digest(session.nonce.encode(), nonce.encode("utf-8", errors="surrogatepass")):
        return KbsNonceForeign("the nonce is not the one of this session")
    return None


def attest(tx: Tx, found_id: str, body: dict[str, Any], *, lifetime_ms: int, key: bytes) -> int:
    """Note what a session has proved; return the time (ms) of this transaction, from which its token counts.

    `key`: what the brokers of a store seal sessions with.
    """
    ends, proved = tx.now_ms + lifetime_ms, _packed(body).decode()
    for (created_ms,) in tx.execute("SELECT created_ms FROM sessions WHERE id = ?", (found_id,)):
        tx.execute(
            "UPDATE sessions SET state = ?, expires_ms = ?, body = ? WHERE id = ? AND state = ?",
            (ATTESTED, ends, _packed({"proved": proved, "seal": _seal(key, found_id, created_ms, ends, proved)}),
             found_id, BURNT),
        )  # fmt: skip
    return tx.now_ms


def attested(tx: Tx, found_id: str, *, by_cookie: bool, key: bytes) -> Session:
    """Return a session that has proved something and is not over; its body is what `attest` was given.

    A cookie counts for five minutes from the challenge, as in stock servers; a token as long as it says. Raises
    KbsSessionAbsent, KbsSessionExpired or KbsSessionForged.
    """
    session = find(tx, found_id)
    if session is None or session.state != ATTESTED:
        raise KbsSessionAbsent("nothing was attested in this session")
    proved = _opened(session, key)
    if tx.now_ms >= (session.created_ms + SESSION_MS if by_cookie else session.expires_ms):
        raise KbsSessionExpired("the session is over")
    return replace(session, body=proved)


def seal_key(token_key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return what the brokers of a store seal sessions with: it follows from the key that signs their tokens."""
    scalar = token_key.private_numbers().private_value.to_bytes(32, "big")
    return hmac.digest(scalar, _SEAL_PURPOSE, "sha256")


def _seal(key: bytes, found_id: str, created_ms: int, expires_ms: int, proved: str) -> str:
    return hmac.digest(key, f"{found_id} {created_ms} {expires_ms} {proved}".encode(), "sha256").hex()


def _opened(session: Session, key: bytes) -> dict[str, Any]:
    match session.body:
        case {"proved": str(proved), "seal": str(seal)}:
            ours = _seal(key, session.id, session.created_ms, session.expires_ms, proved)
            if hmac.compare_digest(ours.encode(), seal.encode("utf-8", "replace")):
                found: dict[str, Any] = json.loads(proved)
                return found
    raise KbsSessionForged(f"the session {session.id[:16]} says that it proved something, and no broker wrote that")


def _packed(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _unpacked(body: bytes) -> dict[str, Any]:
    """Return a row's body; one that no broker wrote is empty, and so proves nothing."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}
