"""Init-data: what a TEE was told at launch, whose digest its configuration register holds. Pure.

Source: KBS specification section 4. The text counts as received, byte for byte. A register that is set without the
text is policy's matter: the words `config_id` and `mr_config_id` compare it, and without them it has to be zero.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from typing import Any, Final, Self

from strongroom.errors import Refused
from strongroom.wire import strict_json

MAX_INIT_DATA_BYTES: Final = 16 * 1024
OURS: Final = "strongroom.json"
_ALGORITHMS: Final = frozenset({"sha256", "sha384", "sha512"})
_MEMBERS: Final = ("deployment", "tenant", "purpose", "kbs_spki_sha256")


class InitDataRefused(Refused):
    """Init-data is not what the TEE was launched with, or was written for another deployment, tenant or broker."""

    code = "SR-KBS-INIT-DATA"
    fix = "Send the launch's text unchanged, line ends included, and launch with its digest in the config register."


@dataclass(frozen=True, slots=True, kw_only=True)
class InitData:
    """Init-data whose digest a register holds."""

    data: dict[str, str]
    deployment: str | None = None
    tenant: str | None = None
    purpose: str | None = None
    kbs_spki_sha256: str | None = None

    @classmethod
    def proven(cls, text: str, register: bytes) -> Self:
        """Return what `text` says once its digest is the register's. Raises InitDataRefused."""
        algorithm, data = _read(text)
        digest = hashlib.new(algorithm, text.encode("utf-8")).digest()
        if not hmac.compare_digest(digest.ljust(len(register), b"\0")[: len(register)], register):
            raise InitDataRefused("the init-data is not what the configuration register holds the digest of")
        return cls(data=data, **_ours(data.get(OURS)))

    def check(self, *, deployment: str, purpose: str, kbs: str) -> None:
        """Raise InitDataRefused where the launch named another deployment, purpose or broker key than these."""
        for name, seen, wanted in (
            ("deployment", self.deployment, deployment), ("purpose", self.purpose, purpose),
            ("broker", self.kbs_spki_sha256, kbs),
        ):  # fmt: skip
            if seen is not None and seen != wanted:
                raise InitDataRefused(f"the init-data names the {name} {seen[:80]!r}, not {wanted[:80]!r}")


def _read(text: str) -> tuple[str, dict[str, str]]:
    if len(text) > MAX_INIT_DATA_BYTES:
        raise InitDataRefused(f"the init-data is longer than {MAX_INIT_DATA_BYTES} characters")
    try:
        text.encode("utf-8")
        table: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError):  # TOMLDecodeError and UnicodeEncodeError are ValueErrors
        raise InitDataRefused("the init-data is not TOML") from None
    algorithm, data = table.get("algorithm"), table.get("data")
    if table.get("version") != "0.1.0" or not isinstance(algorithm, str) or algorithm not in _ALGORITHMS:
        raise InitDataRefused("the init-data is not of version 0.1.0 with sha256, sha384 or sha512")
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise InitDataRefused("the init-data has no table [data] of texts")
    return algorithm, data


def _ours(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    members = strict_json.loads(text, what=OURS, error=InitDataRefused, max_bytes=MAX_INIT_DATA_BYTES, max_depth=2)
    if not isinstance(members, dict) or members.keys() - set(_MEMBERS):
        raise InitDataRefused(f"{OURS} holds something else than {', '.join(_MEMBERS)}")
    if not all(isinstance(value, str) for value in members.values()):
        raise InitDataRefused(f"a member of {OURS} is not a text")
    return members
