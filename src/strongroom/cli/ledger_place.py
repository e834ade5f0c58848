"""Which ledger a verb reads: the workspace's store, its old `ledger.jsonl`, or a file that the command line names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from strongroom.broker.ledger.checkpoint import SignedCheckpoint
    from strongroom.broker.ledger.ledger import Ledger
    from strongroom.broker.store import Store
    from strongroom.workspace import Workspace


@dataclass(frozen=True)
class Place:
    """A ledger to be read: in the store of an owner's workspace, or else in `file`; `name` is for people."""

    name: str
    file: Path
    store: Store | None = None
    owner: Workspace | None = None
    head_file: Path | None = None  # what remembers the newest signed root beside a local store

    @property
    def exists(self) -> bool:
        """Whether there is anything to read: a verb that only reads makes no store."""
        return self.store is not None or self.file.exists()

    def lines(self, after: int = -1) -> Iterator[tuple[int, bytes]]:
        """Yield numbers and lines behind line `after`, without judging the chain."""
        from strongroom.broker.ledger import file, tables

        if self.store is not None:
            return tables.numbered_lines(self.store, first=after + 1)
        return (pair for pair in enumerate(file.lines(self.file)) if pair[0] > after)


def place_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace` and `--file`."""
    workspace_argument(parser)
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="an exported or old ledger.jsonl (default: the workspace's ledger)"
    )


def key_argument(parser: argparse.ArgumentParser, *, about: str) -> None:
    """Add `--key`."""
    parser.add_argument("--key", type=Path, metavar="FILE", action="append", default=[], help=about)


@contextmanager
def open_place(args: argparse.Namespace) -> Iterator[Place]:
    """Lend the ledger that the command line names; a store that is not there yet is not made."""
    from strongroom.broker.keyring.opening import store_location
    from strongroom.broker.ledger.faults import HeadChanged
    from strongroom.broker.ledger.rollback import head_file_beside
    from strongroom.broker.store.opening import open_store

    if args.file is not None:
        yield Place(str(args.file), args.file)
        return
    owner = open_workspace(args)
    location = store_location(owner)
    head_file = head_file_beside(location) if isinstance(location, Path) else None
    if isinstance(location, Path) and not location.exists():
        if head_file is not None and head_file.exists():
            raise HeadChanged(
                f"{location} is not there, though {head_file} remembers its ledger: the store was removed"
            )
        yield Place(str(owner.ledger_path), owner.ledger_path)
        return
    store = open_store(location)
    try:
        yield Place(store.description, owner.ledger_path, store, owner, head_file)
    finally:
        store.close()


@contextmanager
def open_for_signing(args: argparse.Namespace) -> Iterator[Ledger]:
    """Lend the workspace's ledger with its key; it is checked against what is remembered beside it."""
    from strongroom.broker.opening import opened_workspace
    from strongroom.cli.passphrase import with_passphrase

    owner = open_workspace(args)
    with ExitStack() as stack:
        found = with_passphrase(args, lambda given: stack.enter_context(opened_workspace(owner, passphrase=given)))
        yield found.ledger


def read_keys(args: argparse.Namespace) -> list[Ed25519PublicKey]:
    """Return the public keys that `--key` names. Raises BadSigningKey."""
    from strongroom.pki import disk
    from strongroom.pki.keys import MAX_PEM_BYTES
    from strongroom.pki.signing import load_owner_public

    return [load_owner_public(disk.read_bounded(path, limit=MAX_PEM_BYTES)) for path in args.key]


def read_seen(paths: list[Path]) -> list[SignedCheckpoint]:
    """Return the checkpoints in files. Raises CheckpointBad."""
    from strongroom.broker.ledger.rollback import read_checkpoint

    return [read_checkpoint(path) for path in paths]
