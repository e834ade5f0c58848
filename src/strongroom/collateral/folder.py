"""Collateral kept in a folder: one file per platform family and TEE, in the nine-string shape.

`<FMSPC>.json` judges SGX quotes, `<FMSPC>-tdx.json` TDX quotes of the same machines.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from strongroom.attestation import Collateral, CollateralUnreadable, Quote, Tee, fmspc_of
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.errors import Unreachable

_SIMULATED_FMSPC: Final = "F0"  # reserved for simulated platforms (specification section 14.2)


class CollateralUnavailable(Unreachable):
    """There is no collateral for the platform family of this quote, so the quote cannot be judged."""

    code = "SR-COLLATERAL-UNAVAILABLE"
    fix = "Put the collateral of this platform family into the folder, then try again."


class CollateralSource(Protocol):
    """Where the signed reference data for a quote comes from. It is not trusted: the verifier checks every part."""

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return collateral for the quote's FMSPC; raise CollateralUnavailable."""


def file_name(fmspc: str, tee: Tee) -> str:
    """Return under which name a folder keeps the collateral of a platform family (12 hex digits) for one TEE."""
    return f"{fmspc}-tdx.json" if tee is Tee.TDX else f"{fmspc}.json"


class Folder:
    """Reads the file of a quote's FMSPC and TEE, again whenever it has changed. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, _Held] = {}

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return collateral for the quote's FMSPC and TEE.

        Raises CollateralUnavailable where there is no such file, CollateralUnreadable where it does not have the shape
        of collateral, EvidenceRefused where the quote names no platform.
        """
        present = self.at_hand(quote)
        if present is not None:
            return present
        fmspc = fmspc_of(quote)
        path = self._path / file_name(fmspc, quote.tee)
        try:
            with path.open("rb") as file:
                seen = _state(os.fstat(file.fileno()))
                content = file.read(MAX_COLLATERAL_FILE_BYTES + 1)
        except OSError as problem:
            raise self._unavailable(fmspc, path, problem) from None
        found = _parse(content, path)
        self._held[path.name] = _Held(seen, found)
        return found

    def at_hand(self, quote: Quote) -> Collateral | None:
        """Return the same where the file was read before and has not changed; None where it has to be read."""
        name = file_name(fmspc_of(quote), quote.tee)
        held = self._held.get(name)
        try:
            # Asked for every quote: a Path costs three times as much.
            return held.collateral if held and held.seen == _state(os.stat(f"{self._path}/{name}")) else None  # noqa: PTH116
        except OSError:
            return None  # `collateral_for` says it

    def _unavailable(self, fmspc: str, path: Path, problem: OSError) -> CollateralUnavailable:
        if not isinstance(problem, FileNotFoundError):
            return CollateralUnavailable(f"the collateral for FMSPC {fmspc} cannot be read: {path}: {problem.strerror}")
        fix = f"Put it there as {path.name}."
        if fmspc.startswith(_SIMULATED_FMSPC):
            fix = f"Write it with: strongroom sim collateral --world DIR --out {self._path.parent}."
        return CollateralUnavailable(f"there is no collateral for FMSPC {fmspc}: looked for {path}", fix=fix)


@dataclass(frozen=True, slots=True)
class _Held:
    """Collateral read before, and the state of the file then: inode, size, time of change in ns."""

    seen: tuple[int, int, int]
    collateral: Collateral


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _parse(content: bytes, path: Path) -> Collateral:
    try:
        return Collateral.from_json(content)
    except CollateralUnreadable as problem:
        raise CollateralUnreadable(f"{path}: {problem.sentence}") from None
