"""Say what the broker stands on: store, root key, brokers, collateral, the end of the ledger, and how much there is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from strongroom.cli.admin_option import admin_arguments, administration, cell

MOST = 300


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    admin_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    with administration(args) as desk:
        status = desk.status()
    sys.stdout.write(json.dumps(status) + "\n" if args.json else "".join(f"{line}\n" for line in lines_of(status)))
    return 0


def lines_of(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield the status as a person reads it."""
    yield f"strongroom    {status['version']}, {cell('now_ms', status['now_ms'])} by the store's clock"
    yield f"store         {cell('', status['store'], most=MOST)}"
    yield f"root key      {cell('', status['root'], most=MOST)}"
    yield f"ledger        ends at line {status['head']['seq']}, {status['head']['digest']}"
    yield f"tenants       {status['tenants']}, live leases {status['live_leases']}, revocations {status['revocations']}"
    for broker in status["brokers"]:
        seen = cell("seen_ms", broker["seen_ms"])
        yield f"broker        {cell('', broker['address'])} {broker['version']}, seen {seen}"
    for each in status["collateral"]:
        until = f"until {cell('ends_ms', each['ends_ms'])} {each['problem']}"
        yield f"collateral    {each['family']} {each['tee']}: {each['standing']}, {until}".rstrip()
