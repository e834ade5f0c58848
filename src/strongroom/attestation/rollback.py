"""Never take older reference data than were seen already: replay of signed old collateral is refused (threat TCB-08).

Collateral is signed and counts for weeks, so whoever stands between may serve last month's, under which a platform with
a known hole is still up to date. Remembering the highest evaluation number per platform family answers that. Pure: the
caller keeps the numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self, TypeAlias

from strongroom.attestation.claims import Claims, claims_of
from strongroom.attestation.quote import Tee
from strongroom.attestation.verdict import Verdict
from strongroom.errors import Refused, Tampered
from strongroom.wire import strict_json

MAX_STATE_BYTES: Final = 1024 * 1024
_VERSION: Final = 1
_ROOT: Final = re.compile(r"[0-9a-f]{96}", re.ASCII)
_FMSPC: Final = re.compile(r"[0-9A-F]{12}", re.ASCII)
Family: TypeAlias = tuple[str, Tee, str]  # root key id, kind of TEE, FMSPC: no simulated root speaks for Intel's


class CollateralRollback(Refused):
    """The collateral is of an earlier TCB evaluation than collateral seen before for the same platform family."""

    code = "SR-COLLATERAL-ROLLBACK"
    fix = "Fetch collateral again from a source that is current; use update=standard or early everywhere, not both."


class RollbackStateBroken(Tampered):
    """The record of evaluation numbers seen before cannot be read."""

    code = "SR-ROLLBACK-STATE"
    fix = "Restore the file from a backup, or remove it: then the broker's ledger tells what was seen."


@dataclass(frozen=True, slots=True)
class SeenNumbers:
    """The highest evaluation number seen so far, by platform family."""

    numbers: Mapping[Family, int] = field(default_factory=lambda: MappingProxyType({}))

    def admit(self, subject: Verdict | Claims) -> Self:
        """Return what is seen after these claims. Raises CollateralRollback for a number below one seen before.

        Evidence without reference data of its own (a token) changes nothing.
        """
        claims = claims_of(subject) if isinstance(subject, Verdict) else subject
        number = claims.tcb_eval_ref_num
        if number is None or claims.root_key_id is None or claims.tee is None or claims.fmspc is None:
            return self
        family = (claims.root_key_id, claims.tee, claims.fmspc)
        highest = self.numbers.get(family, -1)
        if number < highest:
            raise CollateralRollback(
                f"the collateral for {claims.tee} {claims.fmspc} is of TCB evaluation {number}, seen before: {highest}"
            )
        return self if number == highest else type(self)(MappingProxyType({**self.numbers, family: number}))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Return what `to_json` wrote. Raises RollbackStateBroken."""
        found = strict_json.loads(
            data, what="record of evaluation numbers", error=RollbackStateBroken, max_bytes=MAX_STATE_BYTES, max_depth=4
        )
        if not isinstance(found, dict) or set(found) != {"version", "seen"} or found["version"] != _VERSION:
            raise RollbackStateBroken("the record of evaluation numbers is not of a form that is known")
        entries = found["seen"]
        if not isinstance(entries, list):
            raise RollbackStateBroken("the record of evaluation numbers holds no list")
        pairs = [_entry(each) for each in entries]
        if len(dict(pairs)) != len(pairs):
            raise RollbackStateBroken("the record of evaluation numbers names a family twice")
        return cls(MappingProxyType(dict(pairs)))

    def to_json(self) -> bytes:
        """Return the numbers as a file holds them."""
        seen = [
            {"root_key_id": root, "tee": tee.value, "fmspc": fmspc, "tcb_eval_ref_num": number}
            for (root, tee, fmspc), number in sorted(self.numbers.items())
        ]
        return (json.dumps({"version": _VERSION, "seen": seen}, indent=1) + "\n").encode()


def _entry(value: object) -> tuple[Family, int]:
    match value:
        case {"root_key_id": str(root), "tee": str(tee), "fmspc": str(fmspc), "tcb_eval_ref_num": int(number), **rest}:
            known = tee in list(Tee) and _ROOT.fullmatch(root) and _FMSPC.fullmatch(fmspc)
            if known and not rest and not isinstance(number, bool) and number >= 0:
                return (root, Tee(tee), fmspc), number
    raise RollbackStateBroken("an entry of the record of evaluation numbers is not one")
