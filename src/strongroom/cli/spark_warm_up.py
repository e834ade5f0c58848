"""Keep Spark's classes ready for the JVM: once a machine, and later drivers start a third sooner.

It takes half a minute and 190 MB in ~/.cache/strongroom/java. Run it again after an upgrade of Spark, Strongroom
or Java: it makes the file anew where they differ. A measured job does not use it, for nobody has measured it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--again", action="store_true", help="make it also where it is there and suits")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Make the file, unless it is there."""
    from strongroom.analytics.submit.warming import warm_up

    say = sys.stderr.write
    archive, made = warm_up(os.environ, again=args.again, say=lambda words: say(f"spark warm-up: {words} ...\n"))
    size = archive.stat().st_size
    if args.json:
        sys.stdout.write(json.dumps({"file": os.fspath(archive), "bytes": size, "made": made}) + "\n")
    else:
        sys.stdout.write(f"{'kept' if made else 'is there already'}: {archive} ({size >> 20} MiB)\n")
    return 0
