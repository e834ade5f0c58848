"""Split the root key into recovery shares, of which a threshold brings it back and fewer say nothing about it.

Writes one text file (0600) for each share into a new folder. Give each to another person, then remove the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.key_common import opened
from strongroom.cli.passphrase import passphrase_argument, refuse_beside
from strongroom.cli.workspace_option import positive, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--threshold", metavar="M", type=positive, required=True, help="how many bring it back, from 2")
    parser.add_argument("--shares", metavar="N", type=positive, required=True, help="how many to make, up to 255")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="new folder, outside of the workspace")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Split and write."""
    from strongroom.broker.keyring.changing import split_root, write_shares

    with opened(args) as here:
        refuse_beside(args.out, here.owner)
        made = split_root(here.keyring.root, threshold=args.threshold, count=args.shares)
        about = {"set": made[0].set_id, "threshold": args.threshold, "shares": args.shares}
        here.keyring.store.write(lambda tx: here.note(tx, "split_root", root=here.keyring.root.id, **about))
        paths = write_shares(made, args.out)
    result = {**about, "root": made[0].root_id, "files": [str(path) for path in paths]}
    told = f"{args.shares} shares of root key {made[0].root_id} are in {args.out}; any {args.threshold} bring it back\n"
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    return 0
