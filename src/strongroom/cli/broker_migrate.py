"""Move the workspace's store from its SQLite file to PostgreSQL, so that several brokers can share it.

Stop the broker first. Everything is copied in one transaction and compared; then the file is closed for good, and a
broker that is started on it says where the store went. Name the database in strongroom.toml afterwards. A password
belongs into a passfile: postgresql://USER@HOST/DATABASE?passfile=/PATH.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.broker_backup import ledger_words
from strongroom.cli.store_progress import Steps
from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("--to", required=True, metavar="URL", help="the empty database, as postgresql://HOST/DATABASE")
    parser.add_argument("--check", action="store_true", help="say what would be moved, and change nothing")
    parser.add_argument("--json", action="store_true", help="print rows, hash and ledger end as JSON")


def run(args: argparse.Namespace) -> int:
    """Move the store, or say what would be moved."""
    from strongroom.broker.store import moving
    from strongroom.broker.store.opening import open_store

    source = open_store(source_file(args))
    try:
        target = open_store(args.to)
        try:
            moved = moving.check(source, target) if args.check else moving.move(source, target, progress=Steps())
            name = target.description
        finally:
            target.close()
    finally:
        source.close()
    content = moved.content
    if args.json:
        sys.stdout.write(json.dumps({"rows": dict(content.rows), "sha256": content.sha256,
                                     "ledger_seq": content.head_seq, "ledger_digest": content.head_digest,
                                     "done_before": moved.done_before}) + "\n")  # fmt: skip
        return 0
    what = f"{content.total} rows, {ledger_words(content.head_seq)}"
    if args.check:
        there = "are there already" if moved.done_before else "would be moved"
        sys.stdout.write(f"{what} {there}: {name}\n")
    else:
        sys.stdout.write(f"{what} moved: {name}\nnow name it in strongroom.toml: [broker] store\n")
    return 0


def source_file(args: argparse.Namespace) -> str:
    """Return the workspace's SQLite file; raise StoreAddress if its store is a database already."""
    from strongroom.broker.store.errors import StoreAddress

    owner = open_workspace(args)
    setting = owner.settings.broker
    if setting.shared:
        raise StoreAddress("the workspace's store is PostgreSQL already", fix="There is nothing to move.")
    return str(owner.folder / setting.store)
