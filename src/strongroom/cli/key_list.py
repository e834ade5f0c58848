"""List a tenant's secrets: kind, version, state, age and size, never a value.

State is active (given out), carried (an older version that ends by itself), retired or destroyed. Neither the root key
nor its passphrase is needed.
"""

from __future__ import annotations

import argparse
import sys
import time

from strongroom.cli.admin_option import admin_arguments, administration, print_rows
from strongroom.cli.workspace_option import open_workspace

COLUMNS = ("name", "version", "kind", "state", "bytes", "created_ms", "until_ms", "author")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    admin_arguments(parser, tenant=True)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from strongroom.broker.names import DEFAULT_TENANT, check_tenant

    none = f"tenant {check_tenant(args.tenant)} has no secrets"
    if args.broker is not None:
        with administration(args) as desk:
            print_rows(args, desk.list_keys(tenant=args.tenant), COLUMNS, none=none)
        return 0
    rows, waiting = here(args)
    print_rows(args, rows, COLUMNS, none=none)
    if waiting and args.tenant == DEFAULT_TENANT:
        sys.stderr.write(f"note: waiting in keys/ to be taken into the store: {', '.join(waiting)}\n")
    return 0


def here(args: argparse.Namespace) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    """Return the secrets of the workspace's store, and the key files that are not in it yet."""
    from strongroom.broker.keyring.opening import secret_infos

    owner = open_workspace(args)
    now_ms = time.time_ns() // 1_000_000
    rows: list[dict[str, object]] = [
        {
            "tenant": info.tenant, "name": info.name, "version": info.version, "kind": info.kind,
            "state": info.state_at(now_ms), "bytes": info.bytes, "author": info.author,
            "created_ms": info.created_ms, "until_ms": info.until_ms,
        }
        for info in secret_infos(owner, args.tenant)
    ]  # fmt: skip
    return rows, owner.secrets.names()
