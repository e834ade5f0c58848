"""Collateral kept in a folder: one file per platform family, `<FMSPC>.json`, in the nine-string shape."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from strongroom.attestation import Collateral, CollateralUnreadable, Quote, fmspc_of
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


class Folder:
    """Reads `<folder>/<FMSPC>.json`, again whenever the file has changed. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, _Held] = {}

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return collateral for the quote's FMSPC.

        Raises CollateralUnavailable where there is no such file, CollateralUnreadable where it does not have the shape
        of collateral, EvidenceRefused where the quote names no platform.
        """
        fmspc = fmspc_of(quote)
        path = self._path / f"{fmspc}.json"
        try:
            with path.open("rb") as file:
                state = os.fstat(file.fileno())
                seen = (state.st_ino, state.st_size, state.st_mtime_ns)
                held = self._held.get(fmspc)
                if held is not None and held.seen == seen:
                    return held.collateral
                content = file.read(MAX_COLLATERAL_FILE_BYTES + 1)
        except OSError as problem:
            raise self._unavailable(fmspc, path, problem) from None
        found = _parse(content, path)
        self._held[fmspc] = _Held(seen, found)
        return found

    def _unavailable(self, fmspc: str, path: Path, problem: OSError) -> CollateralUnavailable:
        if not isinstance(problem, FileNotFoundError):
            return CollateralUnavailable(f"the collateral for FMSPC {fmspc} cannot be read: {path}: {problem.strerror}")
        fix = f"Put it there as {fmspc}.json."
        if fmspc.startswith(_SIMULATED_FMSPC):
            fix = f"Write it with: strongroom sim collateral --world DIR --out {self._path.parent}."
        return CollateralUnavailable(f"there is no collateral for FMSPC {fmspc}: looked for {path}", fix=fix)


@dataclass(frozen=True, slots=True)
class _Held:
    """Collateral read before, and the state of the file then: inode, size, time of change in ns."""

    seen: tuple[int, int, int]
    collateral: Collateral


def _parse(content: bytes, path: Path) -> Collateral:
    try:
        return Collateral.from_json(content)
    except CollateralUnreadable as problem:
        raise CollateralUnreadable(f"{path}: {problem.sentence}") from None
