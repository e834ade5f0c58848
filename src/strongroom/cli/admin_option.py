"""The options that say where an administrative verb acts, the same for all of them, and the tables that they print.

Without --broker a verb acts on the store of the workspace, as the owner of this machine's files; no broker has to run.
With --broker and --identity it asks a running broker over mutual TLS, as the person of that identity.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.passphrase import passphrase_argument, with_passphrase
from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.admin.desk import Desk

MAX_CELL: int = 64


def admin_arguments(parser: argparse.ArgumentParser, *, tenant: bool = False) -> None:
    """Add `--workspace`, `--broker`, `--identity` and `--json`; with `tenant` also `--tenant`."""
    workspace_argument(parser)
    parser.add_argument("--broker", metavar="URL", help="ask the broker at https://HOST:PORT instead of the workspace")
    parser.add_argument(
        "--identity", metavar="DIR", type=Path, help="who asks it: the folder with cert.pem and key.pem"
    )
    passphrase_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    if tenant:
        parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")


def administration(args: argparse.Namespace) -> Desk:
    """Return what carries out the verb's actions, to be used in a `with` block.

    Its methods are those of `strongroom.broker.admin.Administration` without the actor, with keyword arguments and
    plain JSON answers: `desk.list_keys(tenant="default")`. Raises Misuse, and what opening raises.
    """
    from strongroom.cli.frame import Misuse

    if (args.broker is None) != (args.identity is None):
        raise Misuse("--broker and --identity go together", fix="Give both, or neither to act on the workspace.")
    if args.broker is not None:
        from strongroom.broker.admin.client import RemoteAdministration

        return RemoteAdministration.open(args.broker, args.identity)
    from strongroom.broker.admin.opening import open_desk

    owner = open_workspace(args)
    return with_passphrase(args, lambda passphrase: open_desk(owner, passphrase=passphrase))


def print_rows(
    args: argparse.Namespace, rows: Sequence[Mapping[str, Any]], columns: Iterable[str], *, none: str
) -> None:
    """Print rows as JSON, or as a table of these columns; `none` is what a person reads where there are none."""
    if args.json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    if not rows:
        sys.stderr.write(f"{none}\n")
        return
    names = list(columns)
    table = [[name.removesuffix("_ms").replace("_", " ") for name in names]]
    table += [[cell(name, row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        text = "  ".join(each.ljust(width) for each, width in zip(line, widths, strict=True))
        sys.stdout.write(text.rstrip() + "\n")


def print_one(args: argparse.Namespace, value: Mapping[str, Any], sentence: str) -> None:
    """Print what a change came to: JSON, or one sentence."""
    sys.stdout.write((json.dumps(value) if args.json else sentence) + "\n")


def cell(name: str, value: object, *, most: int = MAX_CELL) -> str:
    """Return a value on one line: times as UTC, long digests short, nothing that would move a terminal's cursor."""
    if value is None:
        return "-"
    if name.endswith("_ms") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if value else "-"
    text = ",".join(str(each) for each in value) if isinstance(value, list) else str(value)
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def fingerprint_of(desk: Desk, who: str) -> str:
    """Return a certificate's fingerprint: as given, or that of a person's only certificate. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    if len(who) == 64 and not set(who) - set("0123456789abcdef"):
        return who
    found = [each["fingerprint"] for each in desk.list_admins() if each["name"] == who and each["state"] != "removed"]
    if len(found) != 1:
        raise Misuse(
            f"{len(found)} certificates belong to {who[:64]!r}", fix="Give the fingerprint: broker admin list."
        )
    return str(found[0])
