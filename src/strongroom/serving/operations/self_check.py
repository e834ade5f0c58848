"""What a replica can find out about its own platform while the broker says no: its TCB status, in one sentence.

A peer learns nothing from a refusal, so the broker's reason stays with the owner. But the operator may know what state
his own machine is in, and that is the usual reason. World: a quote, and a source of collateral that the operator named.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.attestation import INTEL, Anchor, Verdict, parse_quote, verify
from strongroom.collateral import CollateralSettings, CollateralSource, open_sources
from strongroom.errors import StrongroomError
from strongroom.pki import disk
from strongroom.platforms import Platform

_MAX_ROOT_BYTES: Final = 64 * 1024
_REPORT_DATA: Final = b"strongroom self check".ljust(64, b"\0")
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """Judges this process's own evidence as any verifier would."""

    platform: Platform
    source: CollateralSource
    anchors: Sequence[Anchor]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def sentence(self) -> str:
        """Return what a verifier sees first: `TCB OutOfDate (INTEL-SA-00615)`, or why there is no verdict."""
        try:
            evidence = self.platform.quote(_REPORT_DATA)
            collateral = self.source.collateral_for(parse_quote(evidence))
            verdict = verify(evidence, collateral, anchors=self.anchors, at=self.clock())
        except StrongroomError as problem:
            return f"its own evidence does not verify: {problem.sentence} [{problem.code}]"
        except OSError as problem:
            return f"its own evidence could not be checked ({problem.strerror or type(problem).__name__})"
        return _words(verdict)


def _words(verdict: Verdict) -> str:
    advisories = f" ({', '.join(verdict.advisories)})" if verdict.advisories else ""
    debug = ", debug" if verdict.debug else ""
    return f"TCB {verdict.status.value}{advisories}{debug}"


def self_check(platform: Platform, where: str, root: Path | None) -> SelfCheck:
    """Return the check with collateral from `where` (a folder, a file, the address of a PCCS or a profile's name).

    `root` is a root certificate to trust beside Intel's. Raises UnknownSource, BadAnchor or OSError.
    """
    anchors = [INTEL]
    if root is not None:
        anchors.append(Anchor.from_certificate(disk.read_bounded(root, limit=_MAX_ROOT_BYTES)))
    source = open_sources(CollateralSettings(sources=(where,)), anchors=anchors, base=Path.cwd())
    return SelfCheck(platform=platform, source=source, anchors=anchors)
