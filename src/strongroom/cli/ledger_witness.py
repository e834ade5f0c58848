"""Remember the ledger's newest checkpoint in a file, and sign it as a witness; refuse a ledger that did not only grow.

Run it again and again, best by somebody else and elsewhere: FILE is what the witness saw last, and a ledger that does
not continue it is refused. Whoever has only an exported copy names it with --file, and the ledger's public key with
--key. A broker that is given FILE (witness in strongroom.toml, or --witness) does not start on an older store.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.ledger_place import (
    key_argument,
    open_for_signing,
    place_arguments,
    read_keys,
    read_seen,
)
from strongroom.cli.passphrase import passphrase_argument

if TYPE_CHECKING:
    from strongroom.broker.ledger.checkpoint import SignedCheckpoint


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    passphrase_argument(parser)
    key_argument(parser, about="the ledger's public key, which an exported copy is checked with")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="what the witness remembers")
    parser.add_argument("--witness-key", type=Path, metavar="FILE", help="the witness's own Ed25519 key (PEM): cosign")
    parser.add_argument("--name", metavar="NAME", default="witness", help="the witness's name in its signature")


def run(args: argparse.Namespace) -> int:
    """Check the ledger against FILE and write FILE anew. Raises LedgerRolledBack, LedgerRewritten and their like."""
    from strongroom.pki import disk, signing
    from strongroom.pki.keys import MAX_PEM_BYTES

    seen = read_seen([args.out])[0] if args.out.exists() else None
    found = _from_file(args, seen) if args.file else _from_store(args, seen)
    if args.witness_key is not None:
        key = signing.load_signer(disk.read_secret(args.witness_key, limit=MAX_PEM_BYTES))
        found = found.cosigned(key, name=args.name, at_s=int(time.time()))
    disk.replace_public(args.out, found.to_text().encode())
    grown = f", {found.checkpoint.size - seen.checkpoint.size} more than before" if seen else ""
    sys.stdout.write(f"{args.out}: {found.checkpoint}{grown}\n")
    return 0


def _from_store(args: argparse.Namespace, seen: SignedCheckpoint | None) -> SignedCheckpoint:
    with open_for_signing(args) as ledger:
        if seen is not None:
            ledger.check_holds(seen, where=str(args.out))
        signed = ledger.sign_root()
        ledger.verify()
    return signed


def _from_file(args: argparse.Namespace, seen: SignedCheckpoint | None) -> SignedCheckpoint:
    """Take the newest signed root of a copy, once the whole copy holds and continues what was seen."""
    from strongroom.broker.ledger import file
    from strongroom.broker.ledger.faults import CheckpointBad, RootChanged
    from strongroom.cli.frame import Misuse

    keys = read_keys(args)
    if not keys:
        raise Misuse("a copy is checked with the ledger's public key", fix="Give --key FILE.")
    if seen is not None and not any(seen.is_signed_by(key) for key in keys):
        raise CheckpointBad(f"{args.out} is not signed by the key given")
    verified = file.verify(args.file, keys=keys, checkpoints=[seen.checkpoint] if seen else [])
    if verified.last is None:
        raise RootChanged(f"{args.file} holds no signed root")
    return verified.last
