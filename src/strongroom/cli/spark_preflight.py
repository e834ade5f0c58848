"""Say what this machine has and lacks for trusted Spark: Java, memory, places that stay in memory, SGX or TDX.

Each line is OK, WARN (a job runs, with less) or FAIL (it does not), with what to do. The exit status is 3 after a FAIL.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--executor-memory", metavar="SIZE", type=_size,
                        help="what one executor's enclave is to have, such as 4G")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON array")


def run(args: argparse.Namespace) -> int:
    """Look, print, judge."""
    from strongroom.analytics.submit.preflight import Level, preflight

    findings = preflight(os.environ, executor_bytes=args.executor_memory)
    if args.json:
        sys.stdout.write(json.dumps([each.to_json_object() for each in findings]) + "\n")
    else:
        for each in findings:
            sys.stdout.write(f"{each.level:<4}  {each.subject}: {each.found}\n")
            if each.remedy:
                sys.stdout.write(f"      {each.remedy}\n")
    return 3 if any(each.level is Level.FAIL for each in findings) else 0


def _size(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,8})([kmgt]?)b?", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is no size such as 4g")
    return int(found[1]) << (10 * (" kmgt".index(found[2]) if found[2] else 0))
