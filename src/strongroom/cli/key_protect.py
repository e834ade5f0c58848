"""Put the store under a new root key that a passphrase opens, or change the passphrase.

The passphrase is typed on the terminal, twice, or read from a 0600 file outside of the workspace. From then on the
broker and every verb that opens secrets asks for it (--passphrase-file). Make recovery shares: there is no other way
back (strongroom key shares).
"""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.key_common import change_arguments, change_root, told
from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    change_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Protect."""
    result = change_root(args, "passphrase")
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told(result))
    return 0
