"""Bring the root key back from recovery shares into a workspace that has lost it, or its passphrase.

Shares are checked one by one, and together: what is mistyped or belongs to another set is named. With --protect the
root key is put under a new passphrase.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.passphrase import new_passphrase
from strongroom.cli.workspace_option import open_workspace, workspace_argument
from strongroom.pki import disk


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("shares", metavar="SHARE", nargs="+", type=Path, help="files of shares, as many as needed")
    parser.add_argument("--protect", action="store_true", help="keep the root key under a new passphrase")
    parser.add_argument("--new-passphrase-file", metavar="FILE", type=Path,
                        help="the passphrase for --protect (0600; without it the terminal is asked)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Recover."""
    from strongroom.broker.keyring.changing import recover_root
    from strongroom.broker.keyring.shares import MAX_SHARE_BYTES, Share

    owner = open_workspace(args)
    given = [Share.parse(disk.read_bounded(path, limit=MAX_SHARE_BYTES), what=str(path)) for path in args.shares]
    passphrase = new_passphrase(args.new_passphrase_file, owner) if args.protect else None
    root = recover_root(owner, given, passphrase=passphrase)
    result = {"root": root.id, "place": root.description}
    root.close()
    told = f"root key {result['root']} is back, in the {result['place']}\n"
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    return 0
