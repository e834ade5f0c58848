"""Write a secret into a file of its own (0600): for file decrypt and file verify, or to take it elsewhere.

Works on the workspace alone: a broker gives secrets to attested code and to nobody else. The ledger says that it was
exported, before it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.key_common import name_argument, opened
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import positive, workspace_argument
from strongroom.pki import disk


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    name_argument(parser)
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the new file")
    parser.add_argument("--version", type=positive, metavar="N", help="an older version that is still carried")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Export it."""
    if args.out.exists():
        raise disk.AlreadyThere(f"{args.out} is there already")
    with opened(args) as here:
        secret = here.keyring.get(args.tenant, args.name, args.version)
        here.keyring.store.write(lambda tx: here.note(tx, "export", tenant=args.tenant, secret=args.name))
        disk.write_secret(args.out, secret)
    result = {"name": args.name, "tenant": args.tenant, "file": str(args.out), "bytes": len(secret)}
    told = f"{args.name} is in {args.out} ({len(secret)} bytes); remove it when you are done\n"
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    secret.wipe()
    return 0
