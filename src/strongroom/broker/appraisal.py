"""From evidence that a peer presented to a verdict on it.

World: whatever the collateral source touches. The order is that of the specification (gramine section 3.2): what the
certificate alone decides comes before this, then collateral for the platform it names, then the verification.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from strongroom.attestation import Claims, Collateral, Quote, Verdict, Verifier, parse_quote
from strongroom.collateral import CollateralSource
from strongroom.pki import ratls


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """A verdict, and what it was reached from."""

    verdict: Verdict
    quote: bytes
    collateral: Collateral


class WouldWait(Exception):  # not an error: the same has to be done where waiting hurts nobody
    """The collateral for a quote is not at hand."""


@runtime_checkable
class ReadySource(CollateralSource, Protocol):
    """A source that can say what it has at hand."""

    def at_hand(self, quote: Quote) -> Collateral | None:
        """Return what `collateral_for` would, without reading, asking or waiting; None where it might."""


class AtHand:
    """The part of a source that never waits. Raises WouldWait for the rest."""

    def __init__(self, source: ReadySource) -> None:
        self._source = source

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return collateral that is at hand."""
        found = self._source.at_hand(quote)
        if found is None:
            raise WouldWait
        return found


class RemoteJudge(Protocol):
    """An attestation service whose word the owner takes, and the keys that its tokens are checked with."""

    def appraise_quote(self, quote: bytes, *, bound: bytes, report_data: bytes, at: datetime) -> Claims:
        """Return what the service says about a quote over `report_data`; raise a StrongroomError otherwise."""


def appraise_by_service(quote: bytes, *, judge: RemoteJudge, bound: bytes, report_data: bytes, at: datetime) -> Claims:
    """Return what a service says about a quote over `report_data`. Raises NotBound, or what `judge` raises."""
    claims = judge.appraise_quote(quote, bound=bound, report_data=report_data, at=at)
    if claims.report_data != report_data:
        raise ratls.NotBound("the service speaks of other report data than this evidence's")
    return claims


def appraise_quote(
    quote: bytes, *, report_data: bytes, source: CollateralSource, verifier: Verifier, at: datetime,
    collateral_grace: timedelta = timedelta(0),
) -> Appraised:  # fmt: skip
    """Return what a quote over these 64 bytes of report data proves.

    `collateral_grace`: the most that any rule gives; each rule judges its own. Raises EvidenceRefused, NotBound, or
    CollateralUnavailable.
    """
    parsed = parse_quote(quote)
    collateral = source.collateral_for(parsed)
    verdict = verifier.verify(parsed, collateral, at=at, collateral_grace=collateral_grace)
    # The binding was found before the quote was verified; the bytes that were signed have to be the same ones.
    if verdict.body.report_data != report_data:
        raise ratls.NotBound("the verified report data is not what binds this evidence to its key")
    return Appraised(verdict=verdict, quote=quote, collateral=collateral)
