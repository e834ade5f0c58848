"""Check that no line of the ledger was removed, moved or changed, and print its head.

Lines cut off the end are noticed by the head file beside the ledger. Whoever can rewrite both can rewrite history: keep
the printed head elsewhere from time to time, and give it with --head later.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.workspace_option import open_workspace, workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("--file", type=Path, metavar="FILE", help="the ledger (default: the workspace's)")
    parser.add_argument("--head", metavar="SEQ:HASH", help="a head printed earlier, which the ledger has to contain")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Walk the chain; return 0 if it is whole. Raises LedgerBroken or LedgerTorn."""
    from strongroom.broker.ledger import file as ledger
    from strongroom.broker.ledger.chain import Head

    path = args.file or open_workspace(args).ledger_path
    remembered = Head.from_text(remembered_text(args.head)) if args.head else None
    head = ledger.verify(path, remembered=remembered)
    if args.json:
        sys.stdout.write(json.dumps({"ledger": str(path), "lines": head.seq + 1, "head": f"{head.seq}:{head.digest}"}))
        sys.stdout.write("\n")
        return 0
    sys.stdout.write(f"{path}: {head.seq + 1} lines, whole\nhead {head.seq}:{head.digest}\n")
    return 0


def remembered_text(text: str) -> str:
    """Return a head in the form of the head file. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) <= 20 and len(digest) == 64):
        raise Misuse(f"{text[:100]!r} is not a head", fix="Give what strongroom ledger verify printed, SEQ:HASH.")
    return f"{number:0>20} {digest.lower()}\n"
