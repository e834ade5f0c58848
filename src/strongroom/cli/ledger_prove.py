"""Write a proof that one line is in the ledger, for somebody who sees nothing else of it.

The proof holds the line, the hashes that lead to a signed root, and that root. The reader checks it offline with
strongroom ledger verify --proof FILE --key PUBLIC; the public key comes from strongroom ledger export --public-key.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from strongroom.cli.ledger_place import open_for_signing, read_seen
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    passphrase_argument(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--line", type=int, metavar="N", help="the line's number")
    which.add_argument("--case", metavar="ID", help="the id of a decision, as log and ledger show it")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="where the proof goes")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="a checkpoint that the reader has: prove that the ledger only grew",
    )


def run(args: argparse.Namespace) -> int:
    """Write the proof. Raises NoSuchLine, AlreadyThere and what opening the ledger raises."""
    from strongroom.broker.ledger.proving import line_of_case, prove_line
    from strongroom.pki import disk

    older = read_seen([args.checkpoint])[0] if args.checkpoint else None
    with open_for_signing(args) as ledger:
        proof = prove_line(ledger, args.line if args.case is None else line_of_case(ledger, args.case), older=older)
    disk.write_public(args.out, proof.to_json())
    sys.stdout.write(f"{args.out}: line {proof.seq} is in the ledger of {proof.checkpoint.checkpoint}\n")
    sys.stdout.write(f"signed by the key {proof.key}\n")
    return 0
