"""Verify an SGX or TDX quote against its collateral, at a given time, under a pinned root key.

Prints what the quote proves: status, measurements, dates. A verdict is not a decision: an outdated platform or a debug
enclave gets one too, and a policy decides (see `strongroom policy lint`). Exit status 0 for a verdict, 3 for evidence
that does not hold; the refusal names the first of the 22 steps that failed. Without --root, the root is Intel's; with
--root, Intel's key is still of domain intel and every other key of domain simulated.
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
    SgxReport,
    TdReport,
    TrustDomain,
    Verdict,
    parse_quote,
    verify,
)
from strongroom.attestation.codes import meaning_of
from strongroom.attestation.collateral import MAX_COLLATERAL_FILE_BYTES
from strongroom.attestation.quote import MAX_QUOTE_BYTES, body_object
from strongroom.attestation.status import ADVICE, MEANINGS
from strongroom.attestation.steps import STEPS, Outcome, checks_of_refusal

_MAX_ROOT_BYTES = 64 * 1024
_MAX_GRACE_S = 10 * 366 * 24 * 3600


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--quote", required=True, type=Path, metavar="FILE", help="the quote, raw bytes")
    parser.add_argument(
        "--collateral", required=True, type=Path, metavar="FILE", help="collateral, nine strings in JSON"
    )
    parser.add_argument("--at", type=_moment, metavar="UNIXTIME", help="judge at this time (default: now)")
    parser.add_argument("--root", type=Path, metavar="FILE", help="the root certificate to pin (default: Intel's key)")
    parser.add_argument(
        "--collateral-grace",
        type=_grace,
        default=timedelta(0),
        metavar="SECONDS",
        help="excuse CRLs, TCB info and QE identity that expired no longer ago (default: 0)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Verify and print; return 0 for a verdict. Refused evidence raises, or with --json is printed and returns 3."""
    evidence = read_file(args.quote, MAX_QUOTE_BYTES)
    collateral = Collateral.from_json(read_file(args.collateral, MAX_COLLATERAL_FILE_BYTES))
    anchor = INTEL if args.root is None else Anchor.from_certificate(read_file(args.root, _MAX_ROOT_BYTES))
    at = args.at or datetime.now(UTC)
    try:
        verdict = verify(evidence, collateral, anchors=[anchor], at=at, collateral_grace=args.collateral_grace)
    except EvidenceRefused as refused:
        if not args.json:
            sys.stderr.write(failed_step(refused))
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
    quote = _readable(evidence)
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


def failed_step(refused: EvidenceRefused) -> str:
    """Return one line that says how far verification came."""
    failed = next(check for check in checks_of_refusal(refused, None) if check.outcome is Outcome.FAIL)
    before = f"; the {failed.step - 1} before it passed" if failed.step > 1 else ""
    return f"refused at step {failed.step} of {len(STEPS)}, {failed.name}{before}\n"


def card(verdict: Verdict) -> str:
    """Return a verdict as a person reads it."""
    left = (verdict.earliest_expiration - verdict.verified_at).days
    lines = [f"  ! {warning}" for warning in _warnings(verdict)]
    rows = (
        ("verdict", "sound: signatures, chains, revocation and dates hold"),
        ("evidence", f"{verdict.tee.value} quote of version {verdict.quote_version}"),
        ("trust domain", f"{verdict.trust_domain.value} (root key {verdict.root_key_id[:16]}…)"),
        ("status", verdict.status.value),
        ("", MEANINGS[verdict.status]),
        ("what to do", ADVICE[verdict.status]),
        ("platform", f"{verdict.platform_status.value}, level of {verdict.tcb_date:%Y-%m-%d}, FMSPC {verdict.fmspc}"),
        *([("TDX module", verdict.module_status.value)] if verdict.module_status else []),
        ("quoting enclave", verdict.qe_status.value),
        ("advisories", " ".join(verdict.advisories) or "none"),
        *_identity_rows(verdict.body),
        ("report data", verdict.body.report_data.hex()),
        ("debug", "yes" if verdict.debug else "no"),
        ("judged at", f"{verdict.verified_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("counts until", f"{verdict.earliest_expiration:%Y-%m-%d %H:%M:%S} UTC, {left} days left"),
        ("collateral of", f"{verdict.collateral_issued:%Y-%m-%d}, numbers {verdict.tcb_eval} and {verdict.qe_eval}"),
    )
    lines += [f"{name:>16}  {value}" for name, value in rows]
    lines.append("\nA verdict is not a decision: whether this is enough is for a policy to say.")
    return "\n".join(lines) + "\n"


def _identity_rows(body: SgxReport | TdReport) -> list[tuple[str, str]]:
    """Return the fields that say which code runs."""
    if isinstance(body, SgxReport):
        return [
            ("mr_enclave", body.mr_enclave.hex()),
            ("mr_signer", body.mr_signer.hex()),
            ("product, SVN", f"{body.isv_prod_id}, {body.isv_svn}"),
        ]
    names = ["mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id", "mr_owner", "td_attributes", "xfam"]
    rows = [(name, getattr(body, name).hex()) for name in names]
    return [*rows, ("mr_service_td", body.mr_service_td.hex())] if body.mr_service_td else rows


def _readable(evidence: bytes) -> Quote | None:
    try:
        return parse_quote(evidence)
    except EvidenceRefused:
        return None


def _warnings(verdict: Verdict) -> list[str]:
    warnings = []
    if verdict.trust_domain is TrustDomain.SIMULATED:
        warnings.append("SIMULATED: this platform is a program; the quote proves nothing about hardware.")
    if verdict.debug:
        what = "enclave" if isinstance(verdict.body, SgxReport) else "trust domain"
        warnings.append(f"DEBUG: the host can read and change this {what}'s memory.")
    warnings += [f"GRACE: the {name} has expired; --collateral-grace excuses it." for name in verdict.in_grace]
    return warnings


def _moment(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a Unix time in seconds") from None


def _grace(text: str) -> timedelta:
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) > _MAX_GRACE_S:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not a number of seconds up to {_MAX_GRACE_S}")
    return timedelta(seconds=int(text))
