"""One piece of evidence in one file: quote, collateral and the time it was judged, to be judged again later.

    {"quote": base64, "collateral": {nine strings}, "at": Unix seconds}

Pure. Nothing in it is trusted: reading it back means verifying it again, at the recorded time.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES, Collateral, CollateralUnreadable
from strongroom.attestation.quote import MAX_QUOTE_BYTES
from strongroom.errors import BadInput
from strongroom.wire import strict_json

MAX_RECORD_BYTES: Final = MAX_COLLATERAL_FILE_BYTES + 2 * MAX_QUOTE_BYTES
_MEMBERS: Final = frozenset({"quote", "collateral", "at"})


class RecordUnreadable(BadInput):
    """A file of recorded evidence does not hold a quote, its collateral and a time."""

    code = "SR-RECORDED-EVIDENCE"
    fix = "Name a file that strongroom broker serve --record-evidence wrote, or a raw quote with --collateral."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvidence:
    """A quote with the collateral it was judged by, and when."""

    quote: bytes
    collateral: Collateral
    at: datetime  # UTC, whole seconds

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return what a file holds. Raises RecordUnreadable or CollateralUnreadable."""
        found = strict_json.loads(
            data, what="recorded evidence", error=RecordUnreadable, max_bytes=MAX_RECORD_BYTES, max_depth=4
        )
        if not isinstance(found, dict) or set(found) != _MEMBERS:
            raise RecordUnreadable("recorded evidence has exactly the members quote, collateral and at")
        quote, at = found["quote"], found["at"]
        if not isinstance(quote, str) or not isinstance(at, int) or isinstance(at, bool):
            raise RecordUnreadable("quote is not a text, or at is not a whole number of seconds")
        try:
            raw = base64.b64decode(quote, validate=True)
            moment = datetime.fromtimestamp(at, UTC)
        except (binascii.Error, ValueError, OverflowError, OSError):
            raise RecordUnreadable("quote is not base64, or at is not a time") from None
        if not isinstance(found["collateral"], dict):
            raise CollateralUnreadable("the collateral is not a JSON object")
        return cls(quote=raw, collateral=Collateral.from_json(json.dumps(found["collateral"])), at=moment)

    def to_json(self) -> bytes:
        """Return the file."""
        value = {
            "quote": base64.b64encode(self.quote).decode("ascii"),
            "collateral": json.loads(self.collateral.to_json()),
            "at": int(self.at.timestamp()),
        }
        return (json.dumps(value, indent=1) + "\n").encode()
