"""Make a workspace: certificate authority, signing key, key store, release policy, settings.

The folder holds everything an owner has to keep: whoever can read it can open every model published from it. It is
readable by you alone; keep it on your own machine and in your backups.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.workspace import DEFAULT_FOLDER, Workspace

MADE = (
    ("ca/", "certificate authority; its key signs and never leaves"),
    ("signing/", "Ed25519 key that signs bundles; owner_public.pem is for replicas"),
    ("broker/", "the key broker's certificate and key"),
    ("keys/", "key files that wait to be taken into the broker's store, none yet"),
    ("trust/", "anchors and collateral of platforms you decide to trust"),
    ("policy.toml", "which measured code gets which key: nobody yet"),
    ("strongroom.toml", "settings, with comments"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, default=DEFAULT_FOLDER,
                        help=f"the folder to make (default: {DEFAULT_FOLDER})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Create the workspace; print what is in it and what comes next."""
    workspace = Workspace.create(args.folder, now=datetime.now(UTC))
    if args.json:
        sys.stdout.write(json.dumps({"workspace": str(workspace.folder), "holds": [name for name, _ in MADE]}) + "\n")
        return 0
    option = "" if args.folder == DEFAULT_FOLDER else f" --workspace {args.folder}"
    lines = [f"made the workspace {args.folder}"]
    lines += [f"  {name:<16} {what}" for name, what in MADE]
    lines += [
        "next:",
        f"  strongroom certs two-way --server NAME --client NAME{option}",
        f"  strongroom model publish DIR --name NAME --version 1 --ssl-config ssl_configure/ssl.cfg{option}",
        f"  strongroom broker serve{option}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
