"""Write what the broker's store holds to one file, while brokers go on.

The file is readable by you alone, says what it holds, and is never written over another. Secrets are in it as they are
in the store, encrypted under the root key: keep the root key, or its recovery shares, at another place.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.store_progress import Steps
from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file")
    parser.add_argument("--json", action="store_true", help="print what the backup says about itself as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the backup."""
    from strongroom.broker.keyring.opening import store_location
    from strongroom.broker.store import backup
    from strongroom.broker.store.opening import open_store

    store = open_store(store_location(open_workspace(args)))
    try:
        label = backup.write(store, args.out, progress=Steps())
    finally:
        store.close()
    if args.json:
        sys.stdout.write(json.dumps(label.to_json_object()) + "\n")
    else:
        sys.stdout.write(f"{args.out}: {label.content.total} rows, {ledger_words(label.content.head_seq)}\n")
    return 0


def ledger_words(seq: int) -> str:
    """Say where a ledger ends."""
    return "no ledger yet" if seq < 0 else f"the ledger up to line {seq}"
