"""Work on a queue: take records, run the model on them, write one result for each.

The worker attests and gets its model's and its queue's keys from the broker where the configuration says so. SIGTERM
lets it finish what it has in hand (30 s at most) and ends it. With --workers there are several, and one that crashes is
replaced. What it says on standard output is its effective settings, once.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.option_types import port

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

MAX_CONFIG_BYTES = 1024 * 1024
MOST_WORKERS = 256


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    config_argument(parser)
    parser.add_argument("--workers", type=_workers, metavar="N", help="so many processes, kept by this one")
    parser.add_argument("--compat", type=port, metavar="PORT",
                        help="also answer the original's client on loopback: NO TLS, NO PASSWORD")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the settings as JSON")


def config_argument(parser: argparse.ArgumentParser) -> None:
    """Add -c."""
    parser.add_argument(
        "-c", "--config", "--config_path", type=Path, default=Path("config.yaml"), metavar="FILE",
        help="the queue's configuration (default: config.yaml)",
    )  # fmt: skip


def read_config(path: Path) -> QueueConfig:
    """Return a configuration; what is worth a warning goes to standard error. Raises BadQueueConfig and its kin."""
    from strongroom.clusterserving.config import QueueConfig
    from strongroom.pki import disk

    config, warnings = QueueConfig.parse(disk.read_bounded(path, limit=MAX_CONFIG_BYTES))
    for sentence in warnings:
        sys.stderr.write(f"{path.name}: {sentence}\n")
    return config


def _workers(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"1 to {MOST_WORKERS} workers")
    return count


def run(args: argparse.Namespace) -> int:
    """Work until SIGTERM or SIGINT."""
    from strongroom.serving.loops import run as run_loop
    from strongroom.streaming.model.trust import check_workers
    from strongroom.streaming.worker.supervisor import ChildPlace

    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s] %(message)s", force=True
    )
    config = read_config(args.config)
    check_workers(config, args.workers)
    child = ChildPlace.of(os.environ)
    return run_loop(_run(args, config, child))


async def _run(args: argparse.Namespace, config: QueueConfig, child: Any) -> int:  # noqa: ANN401  # imported late
    from strongroom.serving.operations.processes import end_with_parent
    from strongroom.streaming.client.compat_upstream import compat_port
    from strongroom.streaming.worker.running import Running, supervise
    from strongroom.streaming.worker.supervisor import Supervisor

    def settled(settings: dict[str, Any]) -> None:
        if child is None or child.number == 1:
            text = (
                json.dumps(settings) if args.json else "  ".join(f"{name} {value}" for name, value in settings.items())
            )
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    if child is not None:
        end_with_parent()
        await Running(config, child, settled).run()
        return 0
    async with AsyncExitStack() as stack:
        if args.compat is not None:
            await stack.enter_async_context(compat_port(config, args.compat))
        if args.workers is None:
            await Running(config, None, settled).run()
            return 0
        return await supervise(config, Supervisor([sys.executable, *sys.orig_argv[1:]], args.workers))


def _compat_port(config: QueueConfig, number: int) -> AbstractAsyncContextManager[Any]:
    from strongroom.streaming.client.compat_upstream import compat_port

    return compat_port(config, number)
