"""Verify an SGX quote against its collateral, at a given time, under a pinned root key.

Prints what the quote proves: status, measurements, dates. A verdict is not a decision: an outdated platform or a debug
enclave gets one too, and a policy decides (see `strongroom policy lint`). Exit status 0 for a verdict, 3 for evidence
that does not hold. Without --root, the root is Intel's; with --root, Intel's key is still of domain intel and every
other key of domain simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.attestation import INTEL, Anchor, Collateral, EvidenceRefused, TrustDomain, Verdict, parse_quote, verify
from strongroom.attestation.codes import meaning_of
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.attestation.quote import MAX_QUOTE_BYTES, body_object
from strongroom.attestation.status import ADVICE, MEANINGS

_MAX_ROOT_BYTES = 64 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--quote", required=True, type=Path, metavar="FILE", help="the quote, raw bytes")
    parser.add_argument(
        "--collateral", required=True, type=Path, metavar="FILE", help="collateral, nine strings in JSON"
    )
    parser.add_argument("--at", type=_moment, metavar="UNIXTIME", help="judge at this time (default: now)")
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root certificate to pin (default: Intel's key)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Verify and print; return 0 for a verdict. Refused evidence raises, or with --json is printed and returns 3."""
    evidence = read_file(args.quote, MAX_QUOTE_BYTES)
    collateral = Collateral.from_json(read_file(args.collateral, MAX_COLLATERAL_FILE_BYTES))
    anchor = INTEL if args.root is None else Anchor.from_certificate(read_file(args.root, _MAX_ROOT_BYTES))
    at = args.at or datetime.now(UTC)
    try:
        verdict = verify(evidence, collateral, anchors=[anchor], at=at)
    except EvidenceRefused as refused:
        if not args.json:
            raise
        print_json(refusal_object(refused, evidence))
        return refused.exit_status
    if args.json:
        print_json(verdict_object(verdict))
    else:
        sys.stdout.write(card(verdict))
    return 0


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
    answer: dict[str, object] = {
        "verdict": "err",
        "error": refused.reason.value,
        "code": refused.code,
        "trust_domain": None,
        "root_key_id": None,
        "explanation": meaning_of(refused.reason),
        "observed": refused.sentence,
        "fix": refused.fix,
    }
    try:
        quote = parse_quote(evidence)
    except EvidenceRefused:
        return answer
    return {**answer, "body": body_object(quote.body, quote.version)}


def card(verdict: Verdict) -> str:
    """Return a verdict as a person reads it."""
    body = verdict.body
    left = (verdict.earliest_expiration - verdict.verified_at).days
    lines = [f"  ! {warning}" for warning in _warnings(verdict)]
    rows = (
        ("verdict", "sound: signatures, chains, revocation and dates hold"),
        ("trust domain", f"{verdict.trust_domain.value} (root key {verdict.root_key_id[:16]}…)"),
        ("status", verdict.status.value),
        ("", MEANINGS[verdict.status]),
        ("what to do", ADVICE[verdict.status]),
        ("platform", f"{verdict.platform_status.value}, level of {verdict.tcb_date:%Y-%m-%d}, FMSPC {verdict.fmspc}"),
        ("quoting enclave", verdict.qe_status.value),
        ("advisories", " ".join(verdict.advisories) or "none"),
        ("mr_enclave", body.mr_enclave.hex()),
        ("mr_signer", body.mr_signer.hex()),
        ("product, SVN", f"{body.isv_prod_id}, {body.isv_svn}"),
        ("report data", body.report_data.hex()),
        ("debug", "yes" if verdict.debug else "no"),
        ("judged at", f"{verdict.verified_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("counts until", f"{verdict.earliest_expiration:%Y-%m-%d %H:%M:%S} UTC, {left} days left"),
        ("collateral of", f"{verdict.collateral_issued:%Y-%m-%d}, numbers {verdict.tcb_eval} and {verdict.qe_eval}"),
    )
    lines += [f"{name:>16}  {value}" for name, value in rows]
    lines.append("\nA verdict is not a decision: whether this is enough is for a policy to say.")
    return "\n".join(lines) + "\n"


def _warnings(verdict: Verdict) -> list[str]:
    warnings = []
    if verdict.trust_domain is TrustDomain.SIMULATED:
        warnings.append("SIMULATED: this platform is a program; the quote proves nothing about hardware.")
    if verdict.debug:
        warnings.append("DEBUG: the host can read and change this enclave's memory.")
    return warnings


def _moment(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a Unix time in seconds") from None
