"""Run a job manager or a task manager of Flink in its pod, under the keys of its part.

It starts behind strongroom keys open --part jobmanager --store-password FILE, which fills --keys. Every port wants a
certificate. In an enclave Flink's configuration is part of what is measured, and this command is not used.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("part", choices=["jobmanager", "taskmanager"], help="which of the two")
    parser.add_argument("--keys", metavar="DIR", type=Path, required=True, help="the opened keys of the part")
    parser.add_argument("--password-file", metavar="FILE", type=Path, required=True, help="of the key stores (0600)")
    parser.add_argument("--run", dest="memory", metavar="DIR", type=Path, required=True, help="a folder in memory")
    parser.add_argument("--scratch", metavar="DIR", type=Path, required=True, help="for logs and temporary files")
    parser.add_argument("--home", metavar="DIR", type=Path, default=Path("/opt/flink"), help="(default: /opt/flink)")
    parser.add_argument("--python", metavar="FILE", default="/opt/strongroom/bin/python3", help="of Python jobs")
    parser.add_argument("--slots", metavar="N", type=int, default=1, help="of a task manager (default: 1)")
    parser.add_argument("--managed-size", metavar="SIZE", help="taskmanager.memory.managed.size")
    parser.add_argument("--task-heap-size", metavar="SIZE", help="taskmanager.memory.task.heap.size")
    parser.add_argument("--process-size", metavar="SIZE", help="all memory of the JVM; of a task manager, the sum of "
                        "the two above and of what else it needs unless it is given")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the configuration and run Flink's script until it ends."""
    from strongroom.streaming.parts import flink

    settings = flink.FlinkSettings(
        part=args.part, keys=args.keys, password_file=args.password_file, run=args.memory, scratch=args.scratch,
        home=args.home, python=args.python, slots=args.slots, managed_size=args.managed_size,
        task_heap_size=args.task_heap_size, process_size=args.process_size,
    )  # fmt: skip
    return flink.run(settings, flink.prepare(settings))
