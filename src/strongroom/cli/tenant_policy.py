"""Show a tenant's policy, its versions and what they changed; put another one in force, or agree to a proposed one.

Without an option: the text in force. A policy that admits more than the one in force waits for the owners' votes where
strongroom.toml asks for them; `strongroom policy approve` writes a vote.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.admin_option import admin_arguments, administration, print_rows
from strongroom.cli.workspace_option import positive

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk

COLUMNS = ("version", "state", "author", "created_ms", "digest", "votes_needed")
MAX_VOTE_BYTES = 4096


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="default", help="the tenant (default: default)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--version", type=positive, metavar="N", help="show this version instead of the one in force")
    what.add_argument("--history", action="store_true", help="list the versions, newest first")
    what.add_argument("--diff", type=positive, metavar="N", help="say what version N admits and refuses")
    what.add_argument("--put", type=Path, metavar="FILE", help="make this file the policy, or propose it")
    what.add_argument("--approve", type=positive, metavar="N", help="count the --vote for the proposed version N")
    what.add_argument("--withdraw", type=positive, metavar="N", help="drop the proposed version N")
    parser.add_argument("--vote", type=Path, metavar="FILE", help="a vote that strongroom policy approve wrote")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show or change."""
    from strongroom.cli.frame import Misuse

    if (args.approve is None) != (args.vote is None):
        raise Misuse("--approve and --vote go together", fix="Give the version and the file of the vote.")
    with administration(args) as desk:
        if args.history:
            print_rows(args, desk.policy_history(tenant=args.name), COLUMNS, none="there is no policy yet")
            return 0
        answer, lines = _answer(args, desk)
    sys.stdout.write(json.dumps(answer) + "\n" if args.json else "".join(f"{line}\n" for line in lines))
    return 0


def _answer(args: argparse.Namespace, desk: Desk) -> tuple[Any, list[str]]:
    """Do the one thing that was asked for; return its answer, and the same in sentences."""
    if args.put is not None:
        found = desk.put_policy(tenant=args.name, text=_text(args.put))
        return found, list(_change(found))
    if args.approve is not None:
        found = desk.approve_policy(tenant=args.name, version=args.approve, vote=_vote(args.vote))
        return found, list(_change(found))
    if args.withdraw is not None:
        found = desk.withdraw_policy(tenant=args.name, version=args.withdraw)
        return found, [f"version {args.withdraw} is withdrawn"]
    if args.diff is not None:
        found = desk.diff_policy(tenant=args.name, version=args.diff)
        return found, list(_difference(found))
    found = desk.show_policy(tenant=args.name, version=args.version)
    head = f"# version {found['version']}, {found['state']}, by {found['author']}, digest {found['digest']}"
    return found, [head, *found["text"].splitlines()]


def _text(path: Path) -> str:
    from strongroom.broker.policy.watched import decode_policy, read_policy_bytes

    return decode_policy(read_policy_bytes(path))


def _vote(path: Path) -> str:
    from strongroom.pki import disk

    return disk.read_bounded(path, limit=MAX_VOTE_BYTES).decode("utf-8", "replace")


def _change(found: Mapping[str, Any]) -> Iterator[str]:
    if found["proposed"]:
        yield f"proposed as version {found['proposed']}, not in force: {found['problem']}"
    else:
        yield f"version {found['version']} is in force: {found['rules']} rules, digest {found['digest']}"
    yield from (f"  admits: {line}" for line in found["wider"])
    yield from (f"  refuses: {line}" for line in found["narrower"])


def _difference(found: Mapping[str, Any]) -> Iterator[str]:
    for title, name in (("newly admitted", "admits"), ("newly refused", "refuses")):
        for finding in found[name]:
            yield f"{title}: {finding['sentence']}"
            yield from (f"    {word['word']}: was {word['before']}, is {word['after']}" for word in finding["words"])
    if not found["admits"] and not found["refuses"]:
        yield "it admits the same as the one before"
