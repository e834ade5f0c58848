"""Ask both verifiers about one case: Strongroom's, and the `dcap-qvl` package as a second opinion."""

from __future__ import annotations

import json
from dataclasses import dataclass

from forge import Case
from peer import Peer

from strongroom.attestation import Anchor, AnchorUnusable, Collateral, CollateralUnreadable, EvidenceRefused, verify


@dataclass(frozen=True)
class Opinion:
    """`status` and `advisories` where the evidence is accepted, else `error`: a code of ours, a text of theirs."""

    status: str | None
    advisories: tuple[str, ...] = ()
    error: str = ""

    @property
    def accepts(self) -> bool:
        """Whether the evidence was found sound."""
        return self.status is not None

    def __str__(self) -> str:
        return (
            f"accepts: {self.status} {' '.join(self.advisories)}".rstrip() if self.accepts else f"refuses: {self.error}"
        )


def ours(case: Case) -> Opinion:
    """Return Strongroom's opinion; anything but a typed refusal escapes, and is a defect."""
    try:
        collateral = Collateral.from_json(json.dumps(case.collateral))
        anchor = Anchor.from_certificate(case.root)
        verdict = verify(case.quote, collateral, anchors=[anchor], at=case.at)
    except EvidenceRefused as refused:
        return Opinion(None, error=f"{refused.reason.value}: {refused.sentence}")
    except CollateralUnreadable as refused:
        return Opinion(None, error=f"COLLATERAL: {refused.sentence}")
    except AnchorUnusable as refused:
        return Opinion(None, error=f"ANCHOR: {refused.sentence}")
    return Opinion(verdict.status.value, verdict.advisories)


def theirs(case: Case, peer: Peer) -> Opinion:
    """Return dcap-qvl's opinion on the evidence alone: its claims, without any policy on status."""
    answer = peer.ask(case.quote, case.collateral, case.root, int(case.at.timestamp()))
    if "error" in answer:
        return Opinion(None, error=str(answer["error"]))
    return Opinion(str(answer["status"]), tuple(answer["advisories"]))
