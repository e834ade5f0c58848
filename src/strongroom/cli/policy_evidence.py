"""Evidence on the command line: recorded files and raw quotes, judged by the rules of a policy file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from strongroom.attestation import INTEL, Anchor, Claims, Collateral, EvidenceRefused, claims_of, verify
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.attestation.quote import MAX_QUOTE_BYTES
from strongroom.attestation.recorded import MAX_RECORD_BYTES, RecordedEvidence
from strongroom.broker.names import Pattern
from strongroom.broker.release import ReleaseRule, reasons_of
from strongroom.broker.setup import read_anchors
from strongroom.cli.frame import Misuse
from strongroom.errors import BadInput
from strongroom.pki import disk

MAX_FOLDER_FILES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of evidence, and the time to judge it at."""

    path: Path
    evidence: RecordedEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one piece of evidence proves: claims, or why it does not hold."""

    piece: Piece
    claims: Claims | None
    refused: EvidenceRefused | None


def root_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--root`."""
    parser.add_argument("--root", type=Path, action="append", default=[], metavar="FILE",
                        help="a root certificate, or a folder of them, to trust besides Intel's")  # fmt: skip


def anchors_of(places: Sequence[Path]) -> list[Anchor]:
    """Return Intel's anchor and those of the files and folders named."""
    return [INTEL, *(anchor for place in places for anchor in read_anchors(place))]


def read_piece(path: Path, *, collateral: Path | None, at: datetime | None) -> Piece:
    """Return a recorded file, or a raw quote with the collateral named; `at` replaces the recorded time."""
    data = disk.read_bounded(path, limit=MAX_RECORD_BYTES)
    if data[:64].lstrip().startswith(b"{"):
        evidence = _recorded(path, data)
        if at is not None:
            evidence = RecordedEvidence(quote=evidence.quote, collateral=evidence.collateral, at=at)
        return Piece(path=path, evidence=evidence)
    if collateral is None:
        raise Misuse(f"{path} is a raw quote", fix="Give its collateral with --collateral, or name a recorded file.")
    parts = Collateral.from_json(disk.read_bounded(collateral, limit=MAX_COLLATERAL_FILE_BYTES))
    moment = (at or datetime.now(UTC)).replace(microsecond=0)
    return Piece(path=path, evidence=RecordedEvidence(quote=data[: MAX_QUOTE_BYTES + 1], collateral=parts, at=moment))


def _recorded(path: Path, data: bytes) -> RecordedEvidence:
    """Return what a recorded file holds; the errors name the file, which may be one of thousands."""
    try:
        return RecordedEvidence.from_json(data)
    except BadInput as problem:
        raise type(problem)(f"{path}: {problem.sentence}", fix=problem.fix) from None


def read_folder(folder: Path) -> Iterator[Piece]:
    """Yield the recorded evidence of a folder, by name; none, or more than are read, is a mistake to be told."""
    names = list(islice(folder.iterdir(), MAX_FOLDER_FILES + 1))
    found = sorted(path for path in names if path.suffix == ".json")
    if len(names) > MAX_FOLDER_FILES:
        raise Misuse(f"{folder} holds more than {MAX_FOLDER_FILES} files", fix="Judge it in several folders.")
    if not found:
        raise Misuse(
            f"{folder} holds no recorded evidence", fix="Name the folder of strongroom broker serve --record-evidence."
        )
    for path in found:
        yield read_piece(path, collateral=None, at=None)


def judge(piece: Piece, rules: Sequence[ReleaseRule], anchors: Sequence[Anchor]) -> Judged:
    """Verify one piece with the longest grace that any of the rules gives; each rule then judges its own."""
    grace = max((rule.policy.collateral_grace for rule in rules), default=timedelta(0))
    evidence = piece.evidence
    try:
        verdict = verify(
            evidence.quote, evidence.collateral, anchors=anchors, at=evidence.at, collateral_grace=grace
        )  # fmt: skip
    except EvidenceRefused as refused:
        return Judged(piece=piece, claims=None, refused=refused)
    return Judged(piece=piece, claims=claims_of(verdict), refused=None)


def released(judged: Judged, rules: Sequence[ReleaseRule], *, fresh: bool) -> tuple[Pattern, ...]:
    """Return what a client with this evidence gets by the rules, if need be by asking for it by name."""
    from strongroom.broker.policy.diff import reach

    if judged.claims is None:
        return ()
    at, claims = judged.piece.evidence.at, judged.claims
    fulfilled = [rule for rule in rules if not reasons_of(claims, rule, fresh=fresh, at=at)]
    return tuple(sorted({each for rule in fulfilled for each in reach(rule)}, key=str))


def beyond(before: Sequence[Pattern], after: Sequence[Pattern]) -> bool:
    """Return whether `after` holds a secret that `before` does not."""
    return not all(any(each.covers(new) for each in before) for new in after)
