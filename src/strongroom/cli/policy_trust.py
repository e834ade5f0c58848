"""Write the rule that releases a secret to a measured build, and nothing else.

Name the build by a file: the .sig that gramine-sgx-sign wrote, a measurement in JSON (strongroom measure --json,
strongroom sim measure --json, gramine-sgx-sigstruct-view --output-format json), or a folder that holds exactly one of
these. Or by its measurement (--mrenclave), or by who signed it (--mrsigner with --isvprodid and --min-isvsvn;
--by-signer takes them from the file). A .sig counts only if its signature holds. Platforms have to be up to date and
debug builds are refused; to admit more, edit the rule in policy.toml and let strongroom policy lint say what it means.
Intel's three flags of a platform have to be clear unless --allow names them, and on most servers of clouds at least
smt-enabled and dynamic-platform are set: strongroom quote verify shows them for one quote of yours.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.option_types import u16
from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.policy.measurement_file import MeasuredBuild
    from strongroom.broker.release import Limits, ReleaseRule
    from strongroom.workspace import Workspace

DOMAINS = ("intel", "simulated", "azure-attestation", "intel-trust-authority")
PLATFORM_FLAGS = ("dynamic-platform", "cached-keys", "smt-enabled")
MAX_BUILD_BYTES = 64 * 1024
MAX_NAMES = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("build", type=Path, nargs="?", metavar="BUILD", help="a .sig, a measurement in JSON, or a folder")
    who.add_argument("--mrenclave", type=_measurement, metavar="HEX", help="the build's measurement")
    who.add_argument("--mrsigner", type=_measurement, metavar="HEX", help="who signed the build")
    who.add_argument("--measurement", type=Path, metavar="FILE", help="the same as BUILD")
    parser.add_argument("--isvprodid", type=u16, metavar="N", help="product id, exact (with --mrsigner)")
    parser.add_argument("--min-isvsvn", type=u16, metavar="N", help="least security version (with --mrsigner)")
    parser.add_argument("--by-signer", action="store_true", help="trust the signer of BUILD, not the one build")
    parser.add_argument("--release", required=True, action="append", metavar="NAME",
                        help="model/NAME/VERSION, model/NAME/2-5, secret/NAME, tls/NAME or password/NAME; several for"
                        " clients that ask by name")  # fmt: skip
    parser.add_argument("--trust-domain", choices=DOMAINS, default="intel", metavar="DOMAIN",
                        help="whose evidence counts: intel (default), azure-attestation, intel-trust-authority, or"
                        " simulated, which keeps nothing secret")  # fmt: skip
    parser.add_argument("--allow", action="append", default=[], choices=PLATFORM_FLAGS,
                        help="admit platforms with this flag; may be given several times")  # fmt: skip
    parser.add_argument("--max-leases", metavar="N", help="replicas that may hold one secret at a time")
    parser.add_argument("--lease-seconds", metavar="N", help="a secret is lent for so long (10 to 86400; 600)")
    parser.add_argument("--until", metavar="DAY", help="the rule counts before this day, as in 2027-01-31")
    parser.add_argument("--min-model-version", metavar="N", help="no version of a model below this one")
    parser.add_argument("--secret-format", type=json.dumps, metavar="FORM",
                        help="raw16 (default), or hex32z for Gramine before 1.3 and Graphene")  # fmt: skip
    parser.add_argument("--name", help="what to call the rule in logs and ledger")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Append the rule; print what it admits."""
    from strongroom.broker.policy import text as policy_text
    from strongroom.broker.policy.edit import add_rules

    rule = rule_of(args)
    workspace = open_workspace(args)
    added = add_rules(workspace.policy_path, [rule])
    sentences = policy_text.describe(rule)
    missing = missing_secrets(workspace, [rule])
    for name in missing:
        sys.stderr.write(f"note: there is no secret {name} in the workspace yet\n")
    if args.json:
        result = {"rule": added[0] if added else rule.name, "added": bool(added), "admits": sentences}
        sys.stdout.write(json.dumps({**result, "secret_present": not missing}) + "\n")
        return 0
    sys.stdout.write(f"rule {added[0]!r} written to {workspace.policy_path}\n" if added else "such a rule is there\n")
    sys.stdout.writelines(f"  {sentence}\n" for sentence in sentences)
    return 0


def rule_of(args: argparse.Namespace) -> ReleaseRule:
    """Return the rule that the command line describes. Raises Misuse."""
    from strongroom.attestation import TrustDomain
    from strongroom.broker.names import Pattern
    from strongroom.broker.policy import text as policy_text
    from strongroom.cli.frame import Misuse
    from strongroom.workspace import BadSecretName

    for text in args.release:
        try:
            Pattern.parse(text)
        except BadSecretName as problem:
            raise Misuse(f"--release is {text[:120]!r}", fix=problem.fix) from None
    build = identity(args)
    who = build.mr_enclave or (build.domain or {}).get("mrtd") or build.signature.mrsigner or b""
    return policy_text.strict_rule(
        args.name or f"{args.release[0][:80]} on {args.trust_domain}, {who.hex()[:8]}",
        release=args.release, mrenclave=build.mr_enclave, signature=build.signature, domain=build.domain, kss=build.kss,
        trust_domains=[TrustDomain(args.trust_domain)],
        allow=[f"allow_{flag.replace('-', '_')}" for flag in args.allow], limits=limits_of(args),
    )  # fmt: skip


def limits_of(args: argparse.Namespace) -> Limits:
    """Return the limits that the command line names, read as the words of the file are. Raises Misuse."""
    from strongroom.broker.policy.kinds import Unfit
    from strongroom.broker.policy.words import LIMIT_WORDS
    from strongroom.broker.release import Limits
    from strongroom.cli.frame import Misuse

    found = {}
    for word in LIMIT_WORDS:
        text = getattr(args, word.name, None)  # a word without an option is written into the file by hand
        if text is None:
            continue
        try:
            [(_, value)] = tomllib.loads(f"value = {text[:64]}").items()
            found[word.field] = word.kind.read(value)
        except (Unfit, ValueError):
            option = f"--{word.name.replace('_', '-')}"
            raise Misuse(f"{option} is {text[:64]!r}", fix=f"It takes {word.kind.takes}.") from None
    return Limits(**found)


def missing_secrets(workspace: Workspace, rules: Sequence[ReleaseRule]) -> list[str]:
    """Return what rules release that there is not: secrets by name, and models of which there is no such version."""
    from strongroom.broker.keyring.opening import secret_names
    from strongroom.broker.names import SecretName

    present = [SecretName.parse(name) for name in secret_names(workspace)]
    patterns = dict.fromkeys(pattern for rule in rules for pattern in rule.patterns)
    return [str(pattern) for pattern in patterns if not any(pattern.matches(name) for name in present)]


def identity(args: argparse.Namespace) -> MeasuredBuild:
    """Return the build that the command line names."""
    from strongroom.broker import SignatureCheck
    from strongroom.broker.policy.measurement_file import MeasuredBuild
    from strongroom.cli.frame import Misuse

    place = args.build or args.measurement
    if place and not (args.isvprodid is None and args.min_isvsvn is None):
        raise Misuse("--isvprodid and --min-isvsvn go with --mrsigner", fix="Use --by-signer to take them from BUILD.")
    if place:
        found = build_at(place)
        if not args.by_signer:
            return found if found.domain else replace(found, signature=SignatureCheck())
        if found.domain:
            raise Misuse("a trust domain has no signer", fix="Leave --by-signer away.")
        return replace(found, mr_enclave=None)
    if args.mrsigner and (args.isvprodid is None or args.min_isvsvn is None):
        raise Misuse("a signer alone is not a build", fix="Give --isvprodid and --min-isvsvn with --mrsigner.")
    signature = SignatureCheck(mrsigner=args.mrsigner, isvprodid=args.isvprodid, min_isvsvn=args.min_isvsvn)
    return MeasuredBuild(mr_enclave=args.mrenclave, signature=signature)


def build_at(place: Path) -> MeasuredBuild:
    """Return the build of a file, or of the one such file in a folder. Raises MeasurementMalformed."""
    from strongroom.broker.policy.measurement_file import MeasurementMalformed, read_build
    from strongroom.pki import disk

    if not place.is_dir():
        return read_build(disk.read_bounded(place, limit=MAX_BUILD_BYTES))
    names = sorted(islice(place.iterdir(), MAX_NAMES))
    signed = [path for path in names if path.suffix == ".sig"]
    found = signed or [path for path in names if path.suffix == ".json" and _is_measurement(path)]
    if len(found) != 1:
        listed = ", ".join(path.name for path in found[:5]) or "none"
        raise MeasurementMalformed(
            f"{place} has to hold exactly one .sig file or measurement: {listed}", fix="Name the file itself."
        )
    return read_build(disk.read_bounded(found[0], limit=MAX_BUILD_BYTES))


def _is_measurement(path: Path) -> bool:
    """Return whether a JSON file speaks of a measurement at all, good or bad."""
    from strongroom.pki import disk

    if path.stat().st_size > MAX_BUILD_BYTES:
        return False
    text = disk.read_bounded(path, limit=MAX_BUILD_BYTES)
    return b'"mr_enclave"' in text or b'"mr_td"' in text


def _measurement(text: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", text) or not any(bytes.fromhex(text)):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not 64 hex digits, not all zero")
    return bytes.fromhex(text)
