"""Fill the workspace's empty store with a backup, after everything in it was checked.

A store that holds something is left as it is; where its ledger goes further than the backup's, this says by how much.
Decisions made after the backup are lost, and every model version published since has to be published again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.broker_backup import ledger_words
from strongroom.cli.store_progress import Steps
from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("backup", type=Path, metavar="FILE", help="what strongroom broker backup wrote")
    parser.add_argument("--check", action="store_true", help="check the backup and say what it holds; restore nothing")
    parser.add_argument("--json", action="store_true", help="print what the backup says about itself as JSON")


def run(args: argparse.Namespace) -> int:
    """Restore, or check, the backup."""
    from strongroom.broker.keyring.opening import store_location
    from strongroom.broker.store import backup
    from strongroom.broker.store.opening import open_store

    if args.check:
        with backup.opened(args.backup, progress=Steps()) as (label, _):
            pass
    else:
        store = open_store(store_location(open_workspace(args)))
        try:
            label = backup.restore(args.backup, store, progress=Steps())
        finally:
            store.close()
    if args.json:
        sys.stdout.write(json.dumps(label.to_json_object()) + "\n")
    else:
        done = "is whole" if args.check else "is restored"
        sys.stdout.write(f"{args.backup} {done}: {label.content.total} rows, {ledger_words(label.content.head_seq)}\n")
    return 0
