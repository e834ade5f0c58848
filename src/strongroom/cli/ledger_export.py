"""Write the whole ledger as a file of JSON lines, byte for byte, with the checkpoint that is over it.

The copy says which platforms are the same, like the ledger itself, and holds the salt of their names: give it to
auditors, not to the public. For one line there is strongroom ledger prove.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from strongroom.cli.ledger_place import open_for_signing
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    passphrase_argument(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the lines go; FILE.checkpoint gets the checkpoint"
    )
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="where the ledger's public key goes (PEM)")


def run(args: argparse.Namespace) -> int:
    """Write the files. Raises AlreadyThere and what opening the ledger raises."""
    from strongroom.broker.ledger.checkpoint import verifier_key
    from strongroom.broker.ledger.transfer import export
    from strongroom.cli.frame import Misuse
    from strongroom.pki import disk, signing

    if args.out is None and args.public_key is None:
        raise Misuse("nothing was asked for", fix="Give --out FILE, --public-key FILE or both.")
    with open_for_signing(args) as ledger:
        if args.public_key is not None:
            disk.write_public(args.public_key, signing.public_pem(ledger.public_key))
            sys.stdout.write(f"{args.public_key}: {verifier_key(ledger.origin, ledger.public_key)}\n")
        if args.out is not None:
            signed = ledger.sign_root()
            last = signed.checkpoint.size  # the line of the root itself
            count = export((line for _, line in ledger.lines(limit=last + 1)), args.out)
            disk.write_public(args.out.with_name(f"{args.out.name}.checkpoint"), signed.to_text().encode())
            sys.stdout.write(f"{args.out}: {count} lines, with the checkpoint of {signed.checkpoint}\n")
    return 0
