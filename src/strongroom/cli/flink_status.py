"""Show a Flink cluster: task managers, slots, jobs and their checkpoints. Exit status 4 if it does not answer."""

from __future__ import annotations

import argparse
import json
import sys

from strongroom.cli.flink_options import place_arguments, place_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print what a machine reads")


def run(args: argparse.Namespace) -> int:
    """Ask, print."""
    from strongroom.streaming.flink.looking import look
    from strongroom.streaming.flink.rest import Rest

    state = look(Rest(place_of(args)))
    if args.json:
        sys.stdout.write(json.dumps(state.to_json_object()) + "\n")
        return 0
    managers = len(state.task_managers)
    counted = f"{managers} task manager{'' if managers == 1 else 's'}"
    lines = [f"Flink {state.version}: {counted}, {state.free} of {state.slots} slots free"]
    lines += [
        f"{job.id}  {job.state:<9} {job.duration_ms / 1000:8.1f} s  {job.checkpoints} checkpoints"
        f"{f', {job.failed_checkpoints} failed' if job.failed_checkpoints else ''}  {job.name}"
        for job in state.jobs
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
