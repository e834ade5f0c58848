"""Bring the store under a new root key: of the kind that strongroom.toml names, or --to another.

All tenants' keys are wrapped anew in one transaction; secrets stay as they are. A crash leaves the old root key in
force or the new one. Then the old one is removed: make new recovery shares and a new backup.
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.key_common import change_arguments, change_root, told
from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--to", metavar="KIND", help="file, passphrase, or pkcs11 or kms:NAME as in strongroom.toml")
    change_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Rewrap."""
    result = change_root(args, args.to)
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told(result))
    return 0
