"""Write a server's TLS set from the workspace's CA: clients check the server, the server asks for no certificate.

The folder has the layout that users of the reference solution know (server/key.pem, server/cert.pem, ssl.cfg). Clients
take server/cert.pem as their root, as before. With --server-csr the key stays where it was made, and no ssl.cfg is
written.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.cli.workspace_option import open_workspace, positive, workspace_argument
from strongroom.pki import disk, keys, ssl_configure
from strongroom.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common_arguments(parser)


def common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what one-way and two-way sets have in common."""
    parser.add_argument("--server", metavar="NAME", action="append", required=True,
                        help="a DNS name or address of the server; may be given several times")  # fmt: skip
    parser.add_argument("--server-csr", metavar="FILE", help="sign this request instead of making a server key")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=Path("ssl_configure"),
                        help="where to write (default: ssl_configure)")  # fmt: skip
    parser.add_argument("--days", metavar="N", type=positive, help="validity (default: as in strongroom.toml, 90)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the set and print what is in it."""
    workspace = open_workspace(args)
    ssl_configure.write_one_way(
        args.out,
        workspace.authority(),
        server_names=args.server,
        now=datetime.now(UTC),
        days=days_of(args, workspace),
        server_request=read_request(args.server_csr),
    )
    print_set(args)
    return 0


def days_of(args: argparse.Namespace, workspace: Workspace) -> int:
    """Return the validity that was asked for, or the workspace's."""
    return workspace.settings.certificate_days if args.days is None else int(args.days)


def read_request(path: str | None) -> bytes | None:
    """Return the bytes of a certificate request, if one was named."""
    return None if path is None else disk.read_bounded(Path(path), limit=keys.MAX_PEM_BYTES)


def print_set(args: argparse.Namespace) -> None:
    """Print the files of the set that was written."""
    files = sorted(path.relative_to(args.out).as_posix() for path in args.out.rglob("*") if path.is_file())
    if args.json:
        sys.stdout.write(json.dumps({"folder": str(args.out), "files": files}) + "\n")
        return
    sys.stdout.write(f"wrote {args.out}: {', '.join(files)}\n")
    if "ssl.cfg" in files:
        sys.stdout.write(
            "ssl.cfg holds the server's key: seal it with strongroom model publish --ssl-config before it leaves\n"
        )
