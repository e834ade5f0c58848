"""Turn the key server's ra_config.json (or a dynamic_config.json) into release rules, strictly.

The original reads this file fail-open; here every spelling means what it says or the import fails, with the place, and
writes nothing. Each entry becomes a rule import-1, import-2, …; isv_svn becomes a minimum unless --svn-exact. With
--dry-run a table shows what would be enforced. With --wrap-key the key server's wrap key is taken over as well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.workspace_option import open_workspace, positive, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker import ReleaseRule
    from strongroom.gramine import RaConfig

DEFAULT_RELEASE = "secret/wrap_key"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="ra_config.json or dynamic_config.json")
    workspace_argument(parser)
    parser.add_argument("--release", metavar="NAME", default=DEFAULT_RELEASE,
                        help=f"what the rules release (default: {DEFAULT_RELEASE})")  # fmt: skip
    parser.add_argument("--wrap-key", metavar="FILE", type=Path, help="also keep this key under the released name")
    parser.add_argument("--trust-domain", choices=["intel", "simulated"], default="intel",
                        help="whose evidence counts (default: intel; simulated keeps nothing secret)")  # fmt: skip
    parser.add_argument("--svn-exact", action="store_true", help="want exactly the isv_svn given, as the original did")
    parser.add_argument("--max", type=positive, default=100, metavar="N", help="most entries to take (default: 100)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="add the rules to this policy file, not a workspace's")
    parser.add_argument("--dry-run", action="store_true", help="print what would be enforced and write nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Check everything, then write everything, then say what it means."""
    from strongroom.attestation import TrustDomain
    from strongroom.broker.policy import text as policy_text
    from strongroom.broker.policy.edit import add_rules, check_rules
    from strongroom.gramine import ra_config
    from strongroom.pki import disk

    config = ra_config.parse(disk.read_bounded(args.file, limit=ra_config.MAX_RA_CONFIG_BYTES), max_entries=args.max)
    rules = policy_text.rules_of(
        config, release=args.release, svn_exact=args.svn_exact, trust_domains=[TrustDomain(args.trust_domain)]
    )
    check_rules(rules)
    if args.dry_run:
        take_key(args, dry_run=True)
    else:
        path = args.out or open_workspace(args).policy_path
        check_rules(rules, path)
        take_key(args, dry_run=False)
        add_rules(path, rules, comments=comments_of(config))
    for notice in policy_text.notices_of(config, svn_exact=args.svn_exact):
        sys.stderr.write(f"note: {notice}\n")
    sys.stdout.write(shown(rules, config, dry_run=args.dry_run, as_json=args.json))
    return 0


def take_key(args: argparse.Namespace, *, dry_run: bool) -> None:
    """Check the key that would be released, and with --wrap-key put it into the workspace. Raises WeakKey."""
    from strongroom.broker.keyring.opening import keep, secret_names
    from strongroom.cli.frame import Misuse
    from strongroom.sealing import check_wrap_key, read_wrap_key

    if args.out and args.wrap_key:
        raise Misuse("--wrap-key goes into a workspace, --out does without one", fix="Give one of the two.")
    if args.wrap_key:
        key = read_wrap_key(args.wrap_key)
        check_wrap_key(key)
        if not dry_run:
            keep(open_workspace(args), args.release, key)
    elif not args.out and not dry_run:
        owner = open_workspace(args)
        if owner.secrets.has(args.release):
            owner.secrets.get(args.release).wipe()  # a published sample key does not get rules
        elif args.release not in secret_names(owner):  # what is in the store was checked when it came in
            sys.stderr.write(f"note: there is no secret {args.release} in the workspace yet\n")


def comments_of(config: RaConfig) -> list[list[str]]:
    """Return the values that are kept but not enforced, as comments of each rule."""
    return [[f"not enforced: {each.field} = {each.text}" for each in entry.unenforced] for entry in config.entries]


def shown(rules: Sequence[ReleaseRule], config: RaConfig, *, dry_run: bool, as_json: bool) -> str:
    """Return the table of what is enforced, or the same as JSON."""
    from strongroom.broker.policy import text as policy_text

    if as_json:
        listed = [
            {"name": rule.name, "release": rule.release, "enforced": policy_text.identity_of(rule)} for rule in rules
        ]
        return json.dumps({"written": not dry_run, "checks": list(config.enforced), "rules": listed}) + "\n"
    width = max(len(rule.name) for rule in rules)
    lines = [f"enforced: {', '.join(config.enforced)}; platform UpToDate, no debug enclaves"]
    lines += [f"  {rule.name:<{width}}  {policy_text.identity_of(rule)}  ->  {rule.release}" for rule in rules]
    lines.append("nothing was written (--dry-run)" if dry_run else f"{len(rules)} rules written")
    return "\n".join(lines) + "\n"
