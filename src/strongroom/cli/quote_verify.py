"""Verify an SGX or TDX quote against its collateral, at a given time, under a pinned root key.

Prints what the quote proves: status, measurements, dates. A verdict is not a decision: an outdated platform or a debug
enclave gets one too, and a policy decides (see `strongroom policy test`). Exit status 0 for a verdict, 3 for evidence
that does not hold; the refusal shows which of the 22 steps passed, which failed, and which nobody looked at. Without
--root, the root is Intel's; with --root, Intel's key is still of domain intel and every other key of domain simulated.
Without --collateral it is fetched (see `strongroom collateral fetch`), and with it the PCK chain that a quote with an
encrypted PPID lacks.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from strongroom.attestation import (
    INTEL,
    Anchor,
    Collateral,
    EvidenceRefused,
    Quote,
    Verdict,
    parse_quote,
    verify,
)
from strongroom.attestation.codes import meaning_of
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.attestation.quote import MAX_QUOTE_BYTES, body_object
from strongroom.attestation.recorded import RecordedEvidence
from strongroom.attestation.status import ADVICE, MEANINGS
from strongroom.attestation.steps import checks_of_refusal
from strongroom.cli.collateral_options import settings_of, where_arguments
from strongroom.cli.option_types import AT_HELP, moment
from strongroom.cli.verdict_text import card, refusal_node, text_of
from strongroom.cli.workspace_option import workspace_argument

_MAX_ROOT_BYTES = 64 * 1024
_MAX_GRACE_S = 10 * 366 * 24 * 3600


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--quote", required=True, type=Path, metavar="FILE", help="the quote, raw bytes")
    parser.add_argument("--collateral", type=Path, metavar="FILE",
                        help="collateral, nine strings in JSON (default: fetched as --source says)")  # fmt: skip
    parser.add_argument("--at", type=moment, metavar="TIME", help=AT_HELP)
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root certificate to pin (default: Intel's key)")
    parser.add_argument(
        "--collateral-grace",
        type=_grace,
        default=timedelta(0),
        metavar="SECONDS",
        help="excuse CRLs, TCB info and QE identity that expired no longer ago (default: 0)",
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="keep quote, collateral and time for policy test")
    parser.add_argument("--json", action="store_true", help="print JSON")
    where_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Verify and print; return 0 for a verdict. Refused evidence raises, or with --json is printed and returns 3."""
    evidence = read_file(args.quote, MAX_QUOTE_BYTES)
    anchor = INTEL if args.root is None else Anchor.from_certificate(read_file(args.root, _MAX_ROOT_BYTES))
    at = args.at or datetime.now(UTC).replace(microsecond=0)
    try:
        collateral = collateral_of(args, evidence, anchor, at)
        record(args.record, evidence, collateral, at)
        verdict = verify(evidence, collateral, anchors=[anchor], at=at, collateral_grace=args.collateral_grace)
    except EvidenceRefused as refused:
        if not args.json:
            sys.stdout.write(text_of(refusal_node(refused, quote_in(evidence))))
            raise
        print_json(refusal_object(refused, evidence))
        return refused.exit_status
    if args.json:
        print_json(verdict_object(verdict))
    else:
        sys.stdout.write(card(verdict))
    return 0


def collateral_of(args: argparse.Namespace, evidence: bytes, anchor: Anchor, at: datetime) -> Collateral:
    """Return the collateral in the file named, or fetch it, with the PCK chain where the quote lacks one.

    Raises CollateralUnavailable with what each source said, EvidenceRefused for a quote that names no platform.
    """
    if args.collateral is not None:
        return Collateral.from_json(read_file(args.collateral, MAX_COLLATERAL_FILE_BYTES))
    from strongroom.collateral import open_sources

    quote = parse_quote(evidence)
    settings, base = settings_of(args)
    return open_sources(settings, anchors=(anchor,), base=base, clock=lambda: at).collateral_for(quote)


def record(path: Path | None, evidence: bytes, collateral: Collateral, at: datetime) -> None:
    """Write recorded evidence, 0600: a quote names its platform."""
    if path is not None:
        from strongroom.pki import disk

        disk.replace_private(path, RecordedEvidence(quote=evidence, collateral=collateral, at=at).to_json())


def read_file(path: Path, limit: int) -> bytes:
    """Return a file's bytes, at most one more than `limit`, so that a parser can refuse it by its own code."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def print_json(value: dict[str, object]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def verdict_object(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as a machine reads it, with the words for a person."""
    words = {"explanation": MEANINGS[verdict.status], "fix": ADVICE[verdict.status]}
    return {**verdict.to_json_object(), **words}


def refusal_object(refused: EvidenceRefused, evidence: bytes) -> dict[str, object]:
    """Return refused evidence as a machine reads it; what it claims is added where its structure can be read."""
    quote = quote_in(evidence)
    checks = checks_of_refusal(refused, quote.tee if quote else None)
    answer: dict[str, object] = {
        "verdict": "err",
        "error": refused.reason.value,
        "code": refused.code,
        "step": refused.step,
        "trust_domain": None,
        "root_key_id": None,
        "explanation": meaning_of(refused.reason),
        "observed": refused.sentence,
        "fix": refused.fix,
        "checks": [check.to_json_object() for check in checks],
    }
    return {**answer, "body": body_object(quote.body, quote.version)} if quote else answer


def quote_in(evidence: bytes) -> Quote | None:
    """Return the quote, if its structure can be read."""
    try:
        return parse_quote(evidence)
    except EvidenceRefused:
        return None


def _grace(text: str) -> timedelta:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > _MAX_GRACE_S:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number of seconds up to {_MAX_GRACE_S}")
    return timedelta(seconds=int(text))
