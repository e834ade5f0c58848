"""Run a job on Flink, a JAR or a Python program: here, or on another cluster with -m HOST:PORT.

Prints what the program prints; the job's id goes to standard error, and to standard output with -d, which does not wait
for the job's end. The word wordcount names a job of ours: it counts the words of Hamlet's soliloquy.
"""

from __future__ import annotations

import argparse
import sys

from strongroom.cli.flink_options import at_least_one, environment_argument, home_of, place_arguments, place_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    environment_argument(parser)
    parser.add_argument("-d", "--detached", action="store_true", help="print the job's id and leave it running")
    parser.add_argument("-p", "--parallelism", metavar="N", type=at_least_one, help="default: the cluster's")
    parser.add_argument("-c", "--class", dest="entry_class", metavar="NAME", help="a JAR's class with main()")
    parser.add_argument("program", metavar="PROGRAM", help="a .jar, a .py, or wordcount")
    parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="the program's own arguments")


def run(args: argparse.Namespace) -> int:
    """Submit it, hand on what it says."""
    from strongroom.streaming.flink import submitting

    program = submitting.Program(
        file=submitting.Program.named(args.program), arguments=tuple(args.arguments), entry_class=args.entry_class,
        parallelism=args.parallelism, detached=args.detached,
    )  # fmt: skip
    where = sys.stdout if args.detached else sys.stderr
    submitting.submit(
        place_of(args), home_of(args), program,
        output=submitting.print_line, complaint=sys.stderr.write,
        submitted=lambda job: where.write(f"JobID {job}\n"),
    )  # fmt: skip
    return 0
