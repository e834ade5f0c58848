"""Sign a proposed policy as an owner, or count the vote of an owner who signed elsewhere.

Shows what the version would newly admit; without --key and --vote it does nothing else. What is signed is computed
here from both texts: tenant, version, new policy, the policy it replaces, and until when the vote counts. With --out
the vote goes to a file that any administrator can hand in with --vote. An owner without access to the broker signs two
files: VERSION --new FILE --old FILE --key KEYFILE --out VOTE.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.admin_option import admin_arguments, administration
from strongroom.cli.workspace_option import positive

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk
    from strongroom.broker.policy.votes import Vote

MAX_KEY_BYTES = 16 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("version", type=positive, metavar="VERSION", help="the proposed version")
    signing_arguments(parser)
    parser.add_argument("--vote", type=Path, metavar="FILE", help="count this vote, which an owner signed elsewhere")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the vote to this file and count nothing")
    parser.add_argument("--new", type=Path, metavar="FILE", help="sign this file as the proposed version")
    parser.add_argument("--old", type=Path, metavar="FILE", help="the policy that it replaces")
    admin_arguments(parser, tenant=True)


def signing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--key` and `--days`."""
    parser.add_argument(
        "--key", type=Path, metavar="KEYFILE", help="sign with this owner's private key (Ed25519, 0600)"
    )
    parser.add_argument("--days", type=positive, default=7, metavar="N", help="the vote counts for N days (default: 7)")


def run(args: argparse.Namespace) -> int:
    """Show the change, sign or count, and say what became of it."""
    from strongroom.broker.policy.votes import MAX_VOTE_BYTES, Vote
    from strongroom.cli.frame import Misuse
    from strongroom.cli.policy_propose import sentences
    from strongroom.pki import disk

    if args.new or args.old:
        return sign_files(args)
    if args.key and args.vote:
        raise Misuse("--key and --vote are two ways to vote", fix="Give one of the two.")
    with administration(args) as desk:
        if not args.key and not args.vote:
            return show(desk, args)
        vote = signed(desk, args, args.version) if args.key else None
        vote = vote or Vote.from_json(disk.read_bounded(args.vote, limit=MAX_VOTE_BYTES))
        if args.out:
            return keep(vote, args)
        change = desk.approve_policy(tenant=args.tenant, version=args.version, vote=vote.to_json().decode("ascii"))
    sys.stdout.write(json.dumps(change) + "\n" if args.json else "".join(f"{line}\n" for line in sentences(change)))
    return 0


def show(desk: Desk, args: argparse.Namespace) -> int:
    """Print what the version would change, and how to agree."""
    from strongroom.cli.policy_history import lines

    found = desk.diff_policy(tenant=args.tenant, version=args.version)
    sys.stdout.write(json.dumps(found) + "\n" if args.json else "".join(f"{line}\n" for line in lines(found)))
    sys.stderr.write("nothing was signed: an owner who agrees gives --key KEYFILE\n")
    return 0


def signed(desk: Desk, args: argparse.Namespace, version: int) -> Vote:
    """Return this owner's vote on a proposed version, over the texts themselves and not what a broker says of them."""
    from strongroom.broker.policy.votes import NOTHING, digest_of

    new = desk.show_policy(tenant=args.tenant, version=version)["text"].encode()
    numbers = [each["version"] for each in desk.policy_history(tenant=args.tenant) if each["state"] == "in force"]
    old = desk.show_policy(tenant=args.tenant, version=numbers[0])["text"].encode() if numbers else None
    return _vote(args, version, new, old, replaces=NOTHING if old is None else digest_of(old))


def sign_files(args: argparse.Namespace) -> int:
    """Write the vote of an owner who has both policies as files."""
    from strongroom.broker.policy.votes import digest_of
    from strongroom.broker.policy.watched import read_policy_bytes
    from strongroom.cli.frame import Misuse

    if not (args.new and args.old and args.key and args.out) or args.vote:
        raise Misuse("--new, --old, --key and --out go together", fix="Give these four, or --key alone.")
    old = read_policy_bytes(args.old)
    return keep(_vote(args, args.version, read_policy_bytes(args.new), old, replaces=digest_of(old)), args)


def keep(vote: Vote, args: argparse.Namespace) -> int:
    """Write a vote to the file that was named."""
    from strongroom.pki import disk

    disk.write_public(args.out, vote.to_json())
    sys.stderr.write(f"the vote is in {args.out}: strongroom policy approve {args.version} --vote {args.out}\n")
    return 0


def _vote(args: argparse.Namespace, version: int, new: bytes, old: bytes | None, *, replaces: str) -> Vote:
    """Say what the new policy changes, and sign it."""
    from strongroom.broker.policy.diff import diff
    from strongroom.broker.policy.history import NO_RULES, sentences
    from strongroom.broker.policy.votes import Ballot, digest_of, sign
    from strongroom.broker.policy.watched import parse_policy
    from strongroom.pki import disk
    from strongroom.pki.signing import load_signer

    found = diff(NO_RULES if old is None else parse_policy(old), parse_policy(new))
    for sentence in sentences(found.wider) or ("it admits nothing more than the policy in force",):
        sys.stderr.write(f"you agree to: {sentence}\n")
    ballot = Ballot(tenant=args.tenant, version=version, policy=digest_of(new), replaces=replaces)
    key = load_signer(disk.read_secret(args.key, limit=MAX_KEY_BYTES))
    return sign(ballot, key, at=datetime.now(UTC), days=args.days)
