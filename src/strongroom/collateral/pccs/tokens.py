"""Who may register machines (user token) and who may fill the server (admin token): by SHA-512 of the tokens alone.

World: one file, readable by its owner alone: a JSON object with `UserTokenHash` and `AdminTokenHash` (128 hex digits
each), the names under which the configuration of Intel's PCCS holds them; its other members are ignored.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.errors import BadInput, Refused
from strongroom.pki.disk import SECRET_MODE, new_file, read_secret
from strongroom.wire import strict_json

MAX_FILE_BYTES: Final = 64 * 1024
MAX_TOKEN_CHARACTERS: Final = 1024
TOKEN_BYTES: Final = 32
MEMBERS: Final = {"user": "UserTokenHash", "admin": "AdminTokenHash"}
_HASH: Final = re.compile(r"[0-9a-fA-F]{128}")


class TokensUnusable(BadInput):
    """The file with the hashes of the PCCS's tokens does not hold them."""

    code = "SR-PCCS-TOKENS"
    fix = "Write it with: strongroom pccs token --file FILE --role user (and admin)."


class Unauthorised(Refused):
    """A request to the local PCCS needs a token and came without one, or with a wrong one."""

    code = "SR-PCCS-UNAUTHORISED"
    fix = "Send the token in the header user-token or admin-token."


@dataclass(frozen=True, slots=True)
class Tokens:
    """SHA-512 of the two tokens; where one is None, nobody has it."""

    user: bytes | None = None
    administrator: bytes | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file; raise TokensUnusable, LoosePermissions, OSError."""
        value = _members(path)
        tokens = cls(_hash(value, "UserTokenHash"), _hash(value, "AdminTokenHash"))
        if tokens.user is None and tokens.administrator is None:
            raise TokensUnusable(f"{path} holds neither UserTokenHash nor AdminTokenHash")
        return tokens

    def admit_user(self, token: str) -> None:
        """Raise Unauthorised unless this is the user's token."""
        _admit(token, self.user)

    def admit_administrator(self, token: str) -> None:
        """Raise Unauthorised unless this is the administrator's token."""
        _admit(token, self.administrator)


def new_token(path: Path, role: str) -> str:
    """Return a fresh token for `user` or `admin`, after its hash has been put into the file, made where absent."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    members = _members(path) if path.exists() else {}
    content = json.dumps({**members, MEMBERS[role]: hash_of(token).hex()}, indent=1) + "\n"
    with new_file(path, SECRET_MODE, content.encode("utf-8")) as draft:
        draft.replace(path)
    return token


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha512(token.encode("utf-8")).digest()


def _admit(token: str, wanted: bytes | None) -> None:
    given = hash_of(token[:MAX_TOKEN_CHARACTERS])
    if wanted is None or not token or not hmac.compare_digest(given, wanted):
        raise Unauthorised("no token, or a wrong one")


def _members(path: Path) -> dict[str, object]:
    with read_secret(path, limit=MAX_FILE_BYTES).reveal() as content:
        value = strict_json.loads(content, what=str(path), error=TokensUnusable)
    if not isinstance(value, dict):
        raise TokensUnusable(f"{path} is not a JSON object")
    return value


def _hash(value: dict[str, object], name: str) -> bytes | None:
    text = value.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise TokensUnusable(f"{name} is not 128 hex digits")
    return bytes.fromhex(text)
