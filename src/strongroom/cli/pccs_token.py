"""Make a token for the local PCCS and print it, once; the file keeps only its SHA-512.

The user token lets a machine register (POST platforms); the admin token lets its holder list machines, bring collateral
and refresh. Making a token again replaces the old one. A running server reads the file when it starts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--file", metavar="FILE", type=Path, required=True, help="file of the tokens' hashes")
    parser.add_argument("--role", choices=("user", "admin"), required=True)


def run(args: argparse.Namespace) -> int:
    """Make, keep the hash, print."""
    from strongroom.collateral.pccs.tokens import new_token

    sys.stdout.write(f"{new_token(args.file, args.role)}\n")
    return 0
