"""Write the rule that releases a secret to a measured build, and nothing else.

Name the build by its measurement (--mrenclave, or --measurement with the output of strongroom sim measure --json or
gramine-sgx-sigstruct-view --output-format json), or by who signed it (--mrsigner with --isvprodid and --min-isvsvn;
--by-signer takes them from the measurement file). Platforms have to be up to date and debug enclaves are refused; to
admit more, edit the rule in policy.toml and let strongroom policy lint say what it then means.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker import SignatureCheck


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--mrenclave", type=_measurement, metavar="HEX", help="the build's measurement")
    who.add_argument("--mrsigner", type=_measurement, metavar="HEX", help="who signed the build")
    who.add_argument("--measurement", type=Path, metavar="FILE.json", help="the build's measurement as JSON")
    parser.add_argument("--isvprodid", type=_u16, metavar="N", help="product id, exact (with --mrsigner)")
    parser.add_argument("--min-isvsvn", type=_u16, metavar="N", help="least security version (with --mrsigner)")
    parser.add_argument("--by-signer", action="store_true", help="trust the signer in FILE.json, not the one build")
    parser.add_argument("--release", required=True, metavar="NAME", help="model/NAME/VERSION or secret/NAME")
    parser.add_argument("--trust-domain", choices=["intel", "simulated"], default="intel",
                        help="whose evidence counts (default: intel; simulated keeps nothing secret)")  # fmt: skip
    parser.add_argument("--name", help="what to call the rule in logs and ledger")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Append the rule; print what it admits."""
    from strongroom.attestation import TrustDomain
    from strongroom.broker import policy_text
    from strongroom.broker.policy_edit import add_rules

    workspace = open_workspace(args)
    mrenclave, signature = identity(args)
    who = mrenclave or signature.mrsigner or b""
    rule = policy_text.strict_rule(
        args.name or f"{args.release} on {args.trust_domain}, {who.hex()[:8]}",
        release=args.release, mrenclave=mrenclave, signature=signature, trust_domains=[TrustDomain(args.trust_domain)],
    )  # fmt: skip
    added = add_rules(workspace.policy_path, [rule])
    sentences = policy_text.describe(rule)
    missing = args.release not in workspace.secrets.names()
    if missing:
        sys.stderr.write(f"note: there is no secret {args.release} in the workspace yet\n")
    if args.json:
        result = {"rule": added[0] if added else rule.name, "added": bool(added), "admits": sentences}
        sys.stdout.write(json.dumps({**result, "secret_present": not missing}) + "\n")
        return 0
    sys.stdout.write(f"rule {added[0]!r} written to {workspace.policy_path}\n" if added else "such a rule is there\n")
    sys.stdout.writelines(f"  {sentence}\n" for sentence in sentences)
    return 0


def identity(args: argparse.Namespace) -> tuple[bytes | None, SignatureCheck]:
    """Return the measurement, or None and what the signer's rule compares."""
    from strongroom.broker import SignatureCheck
    from strongroom.broker.measurement_file import read_measurement
    from strongroom.cli.frame import Misuse
    from strongroom.pki import disk

    if args.measurement and not (args.isvprodid is None and args.min_isvsvn is None):
        raise Misuse("--isvprodid and --min-isvsvn go with --mrsigner", fix="Use --by-signer to take them from FILE.")
    if args.measurement:
        found = read_measurement(disk.read_bounded(args.measurement, limit=64 * 1024))
        return (None, found.signature) if args.by_signer else (found.mr_enclave, SignatureCheck())
    if args.mrsigner and (args.isvprodid is None or args.min_isvsvn is None):
        raise Misuse("a signer alone is not a build", fix="Give --isvprodid and --min-isvsvn with --mrsigner.")
    return args.mrenclave, SignatureCheck(mrsigner=args.mrsigner, isvprodid=args.isvprodid, min_isvsvn=args.min_isvsvn)


def _measurement(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != 32 or len(text) != 64 or not any(value):
        raise ValueError
    return value


def _u16(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number
