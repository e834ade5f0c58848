"""The first line of a ledger: the salt that names platforms in it, and, by its hash, the ledger's own name.

Pure. Version 1 is the file `ledger.jsonl` of earlier releases; its lines may stand at the beginning of a store.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from strongroom.broker.ledger import chain
from strongroom.broker.ledger.checkpoint import origin_of
from strongroom.broker.ledger.faults import LedgerBroken

KIND: Final = "genesis"
VERSION: Final = 2
SALT_BYTES: Final = 16
PLATFORM_HASH_CHARS: Final = 24


@dataclass(frozen=True, slots=True)
class Genesis:
    """What the first line says."""

    origin: str
    salt: bytes = field(repr=False)

    @classmethod
    def read(cls, line: bytes) -> Genesis:
        """Read the first line (without its newline). Raises LedgerBroken."""
        entry = chain.read_line(line, seq=0)
        salt = entry.get("salt")
        if entry["kind"] != KIND or not isinstance(salt, str) or len(salt) != 2 * SALT_BYTES:
            raise LedgerBroken("the ledger does not begin as a ledger does")
        try:
            return cls(origin_of(line), bytes.fromhex(salt))
        except ValueError:
            raise LedgerBroken("the ledger does not begin as a ledger does") from None

    def platform(self, platform_id: bytes) -> str:
        """Return the name a platform (its PPID) has in this ledger: keyed, so that two ledgers cannot be joined."""
        return hmac.new(self.salt, platform_id, hashlib.sha256).hexdigest()[:PLATFORM_HASH_CHARS]


def record(salt: bytes) -> dict[str, object]:
    """Return the first record of a new ledger."""
    return {"kind": KIND, "version": VERSION, "salt": salt.hex()}
