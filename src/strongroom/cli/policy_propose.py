"""Make a file the policy of a tenant: at once, or once its owners have signed, where it admits more.

What admits more is told by comparing with the policy in force. Where strongroom.toml names owners, such a policy is
kept as a proposed version and takes effect when enough of them ran strongroom policy approve; with --key the first of
them signs here. What admits less takes effect at once. A broker that runs does the same with each edit of policy.toml.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strongroom.cli.admin_option import admin_arguments, administration
from strongroom.cli.workspace_option import open_workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from strongroom.cli.policy_approve import signing_arguments

    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the policy (default: the workspace's)")
    signing_arguments(parser)
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Submit the file, sign it if asked to, and say what became of it."""
    from strongroom.broker.policy.watched import decode_policy, parse_policy, read_policy_bytes
    from strongroom.cli.policy_approve import signed

    data = read_policy_bytes(args.file or open_workspace(args).policy_path)
    parse_policy(data)
    with administration(args) as desk:
        change = desk.put_policy(tenant=args.tenant, text=decode_policy(data))
        if change["proposed"] and args.key:
            vote = signed(desk, args, change["proposed"])
            change = desk.approve_policy(
                tenant=args.tenant, version=change["proposed"], vote=vote.to_json().decode("ascii")
            )
    sys.stdout.write(json.dumps(change) + "\n" if args.json else "".join(f"{line}\n" for line in sentences(change)))
    return 0


def sentences(change: Mapping[str, Any]) -> list[str]:
    """Return what became of a policy as a person reads it."""
    waits = change["proposed"]
    first = f"version {waits} is proposed" if waits else f"version {change['version']} is in force"
    found = [first]
    for title, word in (("admits", "wider"), ("refuses", "narrower")):
        found += [f"  it newly {title}: {sentence}" for sentence in change[word]]
    return found + ([f"  {change['problem']}"] if change["problem"] else [])
