"""List the versions of a tenant's policy, or say what one of them changed.

A version is in force, was replaced, waits for owners' signatures (proposed), or was dropped before it had them. With
VERSION: what it newly admits and refuses; a proposed version is compared with the one in force. --text prints the
version itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from strongroom.cli.admin_option import admin_arguments, administration, print_rows
from strongroom.cli.workspace_option import positive

COLUMNS = ("version", "state", "author", "created_ms", "votes_needed", "votes", "digest")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("version", nargs="?", type=positive, metavar="VERSION", help="say what this version changed")
    parser.add_argument("--text", action="store_true", help="print the version as it was written")
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    with administration(args) as desk:
        if args.version is None and not args.text:
            rows = desk.policy_history(tenant=args.tenant)
            print_rows(args, rows, COLUMNS, none=f"the tenant {args.tenant} has no policy yet")
            return 0
        if args.text:
            found = desk.show_policy(tenant=args.tenant, version=args.version)
            sys.stdout.write(json.dumps(found) + "\n" if args.json else found["text"])
            return 0
        found = desk.diff_policy(tenant=args.tenant, version=args.version)
    sys.stdout.write(json.dumps(found) + "\n" if args.json else "".join(f"{line}\n" for line in lines(found)))
    return 0


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a difference as a person reads it."""
    yield from _findings("newly admitted", found["admits"], {"wider", "other"})
    yield from _findings("newly refused", found["refuses"], {"narrower", "other"})
    if not found["admits"] and not found["refuses"]:
        yield "it admits the same as the version before it"


def _findings(title: str, findings: Sequence[Mapping[str, Any]], changes: set[str]) -> Iterator[str]:
    if findings:
        yield f"{title}:"
    for finding in findings:
        yield f"  {finding['sentence']}"
        for word in finding["words"]:
            if word["change"] in changes:
                yield f"    {word['word']}: was {word['before']}, is {word['after']} ({word['change']})"
