"""Write a mutual-TLS set: server and client certificates from the workspace's CA, and the server's ssl.cfg.

The folder has the layout that users of the reference solution know (ca_cert.pem, server/, client/, ssl.cfg), with
names, roles and serials in the certificates, and without the CA's key. With --server-csr or --client-csr that side's
key stays where it was made; without the server's key no ssl.cfg is written.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from strongroom.cli.certs_one_way import common_arguments, days_of, print_set, read_request
from strongroom.cli.workspace_option import open_workspace
from strongroom.pki import ssl_configure


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common_arguments(parser)
    parser.add_argument("--client", metavar="NAME", required=True, help="the client's DNS name or mail address")
    parser.add_argument("--client-csr", metavar="FILE", help="sign this request instead of making a client key")


def run(args: argparse.Namespace) -> int:
    """Write the set and print what is in it."""
    workspace = open_workspace(args)
    ssl_configure.write_two_way(
        args.out,
        workspace.authority(),
        server_names=args.server,
        client_name=args.client,
        now=datetime.now(UTC),
        days=days_of(args, workspace),
        server_request=read_request(args.server_csr),
        client_request=read_request(args.client_csr),
    )
    print_set(args)
    return 0
