"""Check a policy file and say in sentences what it admits.

A file that cannot be enforced exactly as written is refused with the place. Whatever weakens a rule is marked with
careful: the simulated platform, debug enclaves, platforms that are not up to date, accepted advisories, old collateral.
At the end it says which rules clients of Gramine's protocol can use, and which only clients that ask by name (KBS).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the policy (default: the workspace's)")
    workspace_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Parse and describe; return 0 for a policy that can be enforced."""
    from strongroom.broker.policy import text as policy_text
    from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
    from strongroom.cli.policy_trust import missing_secrets

    workspace = None if args.file else open_workspace(args)
    path = args.file or open_workspace(args).policy_path
    rules = parse_policy(read_policy_bytes(path)).rules
    described = []
    for rule in rules:
        sentences = [*policy_text.describe(rule), *policy_text.askers(rule, rules)]
        missing = missing_secrets(workspace, [rule]) if workspace else []
        sentences += [f"careful: there is no secret {name} in the workspace" for name in missing]
        described.append({"name": rule.name, "release": rule.release, "admits": sentences})
    clients = policy_text.clients(rules)
    if args.json:
        sys.stdout.write(json.dumps({"policy": str(path), "rules": described, "clients": clients}) + "\n")
        return 0
    count = {0: "no rules, so nothing is released", 1: "1 rule"}.get(len(rules), f"{len(rules)} rules")
    lines = [f"{path}: {count}"]
    for rule_object in described:
        lines += [f"rule {rule_object['name']!r}", *(f"  {sentence}" for sentence in rule_object["admits"])]
    lines += clients
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
