"""Say whether a queue works: Redis, the queue itself, its workers, with what waits and what was given up.

Asks as the user that the configuration names (the user `cs-probe` may do this and nothing else). Exit status 0 where
everything that was asked about works, 4 where something does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import TYPE_CHECKING

from strongroom.cli.queue_serve import config_argument, read_config

if TYPE_CHECKING:
    from strongroom.streaming.worker.looking import Component, QueueStatus

UNREACHABLE = 4
COMPONENTS = ("redis", "queue", "workers")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    config_argument(parser)
    parser.add_argument("--component", choices=COMPONENTS, help="ask about this one alone")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Ask and print."""
    from strongroom.streaming.link.queue import AsyncQueue, Bounds, Place
    from strongroom.streaming.worker.looking import look

    config = read_config(args.config)

    async def asked() -> QueueStatus:
        async with AsyncQueue(Place.of(config), config.job, Bounds.of(config), patience_s=0) as queue:
            return await look(queue)

    status = asyncio.run(asked())
    chosen = [each for each in status.components if args.component in (None, each.name)]
    if args.json:
        shown = {**status.to_json(), "components": {each.name: each.reason or "ok" for each in chosen}}
        sys.stdout.write(json.dumps(shown) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines_of(status, chosen, whole=args.component is None)))
    return 0 if all(each.reason is None for each in chosen) else UNREACHABLE


def lines_of(status: QueueStatus, chosen: list[Component], *, whole: bool) -> list[str]:
    """Return the status as a person reads it."""
    from strongroom.cli.admin_option import cell

    lines = [f"{each.name:<9} {'ok' if each.reason is None else cell('', each.reason, most=300)}" for each in chosen]
    if not whole or any(each.name == "redis" and each.reason is not None for each in chosen):
        return lines  # where Redis does not answer, there are no numbers
    lines += [f"waits     {status.waiting} records, {status.pending} of them with workers; {status.bytes} bytes"]
    lines += [f"given up  {status.dead} records (strongroom queue dead)"]
    for worker in status.workers:
        state = worker.state or {}
        model = f"{state.get('model', '-')} {state.get('version', '-')}"
        served = f"served {state.get('served', '-')}, errors {state.get('errors', '-')}"
        standing = "gone" if worker.state is None else "ready" if state.get("ready") else "not ready"
        seen = cell("seen_ms", worker.last_seen_ms)
        lines.append(
            f"worker    {cell('', worker.name)}  {standing}  {cell('', model)}  {cell('', served)}  seen {seen}"
        )
    return lines
