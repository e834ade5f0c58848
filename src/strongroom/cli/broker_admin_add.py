"""Make a client certificate for one person and register it with a role; or register one that the CA signed elsewhere.

Roles: owner (everything), keeper (keys and secrets), operator (leases, revocations, floors), auditor (reads all,
changes nothing). --out gets cert.pem, key.pem (0600) and ca.pem: hand the folder to that person, and to nobody else.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.broker.admin.roles import Role
from strongroom.cli.admin_option import admin_arguments, administration, cell, print_one
from strongroom.cli.workspace_option import open_workspace, positive

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk

MAX_PEM_BYTES = 64 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    roles = [role.value for role in Role]
    parser.add_argument("name", metavar="NAME", help="the person: a name or a mail address")
    parser.add_argument("--role", required=True, choices=roles, help="what they may do")
    parser.add_argument("--tenant", metavar="NAME", default="*", help="confine them to a tenant (default: * for all)")
    parser.add_argument("--days", type=positive, default=90, help="the certificate's life (default: 90)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", metavar="DIR", type=Path, help="make key and certificate here, with the workspace's CA")
    what.add_argument("--certificate", metavar="FILE", type=Path, help="register this client certificate of that CA")
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Issue and register."""
    from strongroom.pki import disk

    with administration(args) as desk:
        if args.out is not None:
            view = _issue(args, desk)
        else:
            pem = disk.read_bounded(args.certificate, limit=MAX_PEM_BYTES).decode("ascii", "replace")
            view = desk.add_admin(name=args.name, role=args.role, tenant=args.tenant, certificate=pem)
    until = cell("not_after_ms", view["not_after_ms"])
    print_one(args, view, f"{args.name} is {args.role} until {until}, certificate {view['fingerprint']}")
    return 0


def _issue(args: argparse.Namespace, desk: Desk) -> dict[str, object]:
    """Register while the folder is written: neither is there if the other fails."""
    from strongroom.broker.admin.identities import issue, new_identity

    workspace = open_workspace(args)
    leaf = issue(workspace, args.name, now=datetime.now(UTC), days=args.days)
    with new_identity(args.out, leaf, ca_pem=workspace.ca_certificate_pem):
        registered: dict[str, object] = desk.add_admin(
            name=args.name, role=args.role, tenant=args.tenant, certificate=leaf.certificate_pem.decode("ascii")
        )
    return registered
