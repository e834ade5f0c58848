"""Take a signed token apart: JWS in its compact form (RFC 7515), strictly, before anything in it is believed.

Of the header only four members are known. Whatever would let a token bring its own key (`jwk`, `x5c`, `x5u`), change
how it is read (`crit`, `b64`, `zip`) or say something unknown is a refusal, not a thing to skip.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from strongroom.errors import StrongroomError, Tampered
from strongroom.wire import strict_json

MAX_TOKEN_BYTES: Final = 64 * 1024  # a token with runtime data of a TDX machine is about 10 kB
MAX_HEADER_TEXT: Final = 1024  # characters of `kid` or `jku`
MAX_SIGNATURE_BYTES: Final = 1024  # RSA-8192
_KNOWN: Final = frozenset({"alg", "kid", "typ", "jku"})
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*")


class TokenMalformed(Tampered):
    """An attestation token is not one strict JWS in compact form."""

    code = "SR-TOKEN-FORMAT"
    fix = "Pass the token as the attestation service returned it: three base64url parts joined by dots, nothing else."


class TokenHeaderRefused(Tampered):
    """The header of an attestation token wants something that no token may want, such as a key of its own."""

    code = "SR-TOKEN-HEADER"
    fix = "Refuse this token: keys come from your configuration, never from a token."


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A token taken apart; nothing in it is believed yet."""

    algorithm: str
    key_id: str
    key_set_url: str | None  # `jku`: compared with the configured address, never fetched
    payload: bytes
    signed: bytes  # the ASCII that the signature covers
    signature: bytes


def parse_jws(token: bytes) -> Jws:
    """Return the parts of a compact JWS. Raises TokenMalformed or TokenHeaderRefused."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenMalformed(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
    parts = token.split(b".", 3)
    if len(parts) != 3:
        raise TokenMalformed("the token is not three parts joined by dots")
    header, payload, signature = (
        base64url(part, what=f"the token's {name}", error=TokenMalformed)
        for part, name in zip(parts, ("header", "payload", "signature"), strict=True)
    )
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise TokenMalformed(f"the token's signature is longer than {MAX_SIGNATURE_BYTES} bytes")
    members = _header(header)
    return Jws(
        algorithm=_text(members, "alg"), key_id=_text(members, "kid"),
        key_set_url=_text(members, "jku") if "jku" in members else None,
        payload=payload, signed=parts[0] + b"." + parts[1], signature=signature,
    )  # fmt: skip


def base64url(text: bytes, *, what: str, error: Callable[[str], StrongroomError]) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2): one spelling for each value, or `error`."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise error(f"{what} is not base64url without padding")
    decoded = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if base64url_text(decoded) != text:  # spare bits of the last character are set
        raise error(f"{what} is not base64url in its one spelling")
    return decoded


def base64url_text(data: bytes) -> bytes:
    """Encode `data` as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _header(data: bytes) -> dict[str, object]:
    members = strict_json.loads(data, what="the token's header", error=TokenMalformed, max_depth=4)
    if not isinstance(members, dict):
        raise TokenMalformed("the token's header is not a JSON object")
    unknown = sorted(members.keys() - _KNOWN)
    if unknown:
        raise TokenHeaderRefused(f"the token's header holds {', '.join(repr(name[:32]) for name in unknown[:8])}")
    if str(members.get("typ", "JWT")).upper() != "JWT":
        raise TokenHeaderRefused("the token's header is of another type than JWT")
    return members


def _text(members: dict[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_HEADER_TEXT:
        raise TokenMalformed(f"the token's header has no {name} that is a text of 1 to {MAX_HEADER_TEXT} characters")
    return value
