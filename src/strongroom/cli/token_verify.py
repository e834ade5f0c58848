"""Verify an attestation token of Azure Attestation or Intel Trust Authority, and judge it by a policy.

The keys come from a file (--keys) or from the service itself (--service, remembered for a day), never from the token.
Prints what the token says; what it does not say is unknown, and a policy has to name it in accept_unknown to let it
pass. Exit status 0 for a token that holds (with --policy: that a rule accepts), 3 for one that does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.cli.option_types import AT_HELP, moment
from strongroom.errors import Refused

if TYPE_CHECKING:
    from strongroom.attestation.tokens import Profile, TokenVerdict
    from strongroom.broker.release import DenialReason
    from strongroom.collateral.token_keys import TokenKeys

PROFILES: Final = ("maa", "ita")
REPORT_DATA_BYTES: Final = 64


class TokenNotAccepted(Refused):
    """An attestation token holds, and no rule of the policy accepts what it says."""

    code = "SR-TOKEN-NOT-ACCEPTED"
    fix = "Compare the claims with the rule; what a token cannot say may be named in the rule's accept_unknown."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--token", required=True, type=Path, metavar="FILE", help="the token, as the service gave it")
    service_arguments(parser)
    parser.add_argument("--audience", metavar="NAME", help="whom the token has to be for")
    parser.add_argument("--report-data", type=_report_data, metavar="HEX",
                        help="the report data that it has to be about: 64 bytes, or the 32 of a hash")  # fmt: skip
    parser.add_argument("--nonce", metavar="TEXT", help="the nonce that it has to answer")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="judge by the rules of this policy file")
    parser.add_argument("--at", type=moment, metavar="TIME", help=AT_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON")


def service_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say whose tokens are believed."""
    group = parser.add_argument_group("whose word counts")
    group.add_argument("--profile", required=True, choices=PROFILES,
                       help="maa: Microsoft Azure Attestation; ita: Intel Trust Authority")  # fmt: skip
    group.add_argument("--keys", type=Path, metavar="FILE", help="the pinned key set (JWKS)")
    group.add_argument("--service", metavar="URL", help="the instance; without --keys its /certs is asked")
    group.add_argument("--issuer", metavar="TEXT", help="what iss has to be (maa: the URL; ita: known)")
    group.add_argument("--service-ca", type=Path, metavar="FILE", help="CA (PEM) of the service, if not the system's")
    group.add_argument("--keys-cache", type=Path, metavar="DIR", help="where fetched keys are kept "
                       "(default: $XDG_CACHE_HOME/strongroom/token-keys or below ~/.cache)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Verify, judge and print; raise what does not hold."""
    from strongroom.attestation.tokens import MAX_TOKEN_BYTES, PROFILES, verify_token
    from strongroom.collateral.remote_verifier import with_current_keys

    profile = PROFILES[args.profile]
    at = args.at or datetime.now(UTC)
    with args.token.open("rb") as file:
        token = file.read(MAX_TOKEN_BYTES + 2).rstrip(b"\r\n")
    verdict = with_current_keys(
        keys_of(args, profile),
        lambda keys: verify_token(
            token, keys, profile, at=at, audience=args.audience, report_data=args.report_data, nonce=args.nonce
        ),
        at=datetime.now(UTC),  # the age of fetched keys is our own clock's matter, whatever --at says
    )
    accepted, reasons = _judged(args.policy, verdict, at) if args.policy else (None, ())
    if args.json:
        _print_json(verdict, accepted, reasons)
    else:
        sys.stdout.write(card(verdict, accepted))
    if not reasons:
        return 0
    if args.json:
        return TokenNotAccepted.exit_status
    raise TokenNotAccepted("no rule accepts this token: " + "; ".join(str(reason) for reason in reasons))


def keys_of(args: argparse.Namespace, profile: Profile) -> TokenKeys:
    """Return where the keys come from that the options name. Raises KeysNotNamed."""
    from strongroom.collateral.attestation_service import AttestationService, ServiceAddress
    from strongroom.collateral.service_settings import KeysNotNamed, issuer_of, pinned_keys
    from strongroom.collateral.token_keys import FetchedKeys

    if args.keys is not None:
        return pinned_keys(profile, args.keys, issuer=args.issuer, service=args.service)
    if args.service is None:
        raise KeysNotNamed("neither --keys nor --service says which keys count")
    service = AttestationService(profile, ServiceAddress.of(args.service), ca_file=args.service_ca)
    issuer = issuer_of(profile, issuer=args.issuer, service=service.address.url)
    return FetchedKeys(service, issuer=issuer, folder=args.keys_cache or default_cache(os.environ))


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return where fetched key sets are kept when nobody says."""
    cache = environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path("~/.cache").expanduser()
    return base / "strongroom" / "token-keys"


def _judged(policy: Path, verdict: TokenVerdict, at: datetime) -> tuple[str | None, Sequence[DenialReason]]:
    """Return the name of the rule that accepts, or why none does."""
    from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
    from strongroom.broker.release import Grant, decide

    rules = parse_policy(read_policy_bytes(policy)).rules
    outcome = decide(verdict.claims(), rules, fresh=False, at=at)
    return (outcome.rule.name, ()) if isinstance(outcome, Grant) else (None, outcome.reasons)


def _print_json(verdict: TokenVerdict, accepted: str | None, reasons: Sequence[DenialReason]) -> None:
    shown = verdict.to_json_object()
    if accepted or reasons:
        shown |= {
            "decision": "accepted" if accepted else "refused", "rule": accepted,
            "reasons": [reason.to_json_object() for reason in reasons],
        }  # fmt: skip
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")


def card(verdict: TokenVerdict, accepted: str | None) -> str:
    """Return a verdict as a person reads it."""
    from strongroom.attestation import TrustDomain

    claims = verdict.claims().to_json_object()
    rows = [
        ("token", f"holds: signature ({verdict.algorithm}), issuer, dates"),
        ("trust domain", verdict.trust_domain.value),
        ("issuer", verdict.issuer),
        ("key", f"{verdict.key_id[:64]} (SHA-256 {verdict.key_thumbprint[:16]}…)"),
        (
            "issued",
            f"{verdict.issued_at:%Y-%m-%d %H:%M:%S} UTC, counts until {verdict.not_after:%Y-%m-%d %H:%M:%S} UTC",
        ),
    ]
    left_out = {"source", "trust_domain", "not_before", "not_after", "judged_at", "evidence_time"}
    rows += [(name, " ".join(value) if isinstance(value, list) else str(value))
             for name, value in claims.items() if name not in left_out]  # fmt: skip
    rows += [(name, "unknown: the token does not say") for name in ("tcb_status", "advisories") if name not in claims]
    rows.append(("binding", "report data is as wanted" if verdict.bound else "report data was compared with nothing"))
    if accepted:
        rows.append(("decision", f"accepted by the rule {accepted!r}"))
    lines = [f"{name:>16}  {value}" for name, value in rows]
    if verdict.trust_domain is TrustDomain.SIMULATED:
        lines.insert(0, "  ! SIMULATED: a local double signed this token; it proves nothing about hardware.")
    lines.append("\nThe service checked the hardware's signature, not this program: whether its word is enough is for"
                 " a policy to say.")  # fmt: skip
    return "\n".join(lines) + "\n"


def _report_data(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not hex") from None
    if len(data) not in (REPORT_DATA_BYTES // 2, REPORT_DATA_BYTES):
        raise argparse.ArgumentTypeError(f"report data has {REPORT_DATA_BYTES} bytes, or 32 and zeros")
    return data.ljust(REPORT_DATA_BYTES, b"\0")
