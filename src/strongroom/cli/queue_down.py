"""End the queue that strongroom queue up runs in a folder: workers finish what they have, then Redis ends.

Data, keys and passwords stay for the next queue up.
"""

from __future__ import annotations

import argparse
import sys

from strongroom.cli.queue_up import folder_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    folder_argument(parser)


def run(args: argparse.Namespace) -> int:
    """End it, and return once nothing of it is left."""
    from strongroom.streaming.local.parts import end

    ran = end(args.folder / "running.json")
    sys.stdout.write("The queue has ended.\n" if ran else "No queue runs here.\n")
    return 0
