"""Run owner, simulated platform, broker, two replicas and a client on this machine, and attack them.

Shows the twelve steps of the reference solution's figure with times, classifies real photographs and says what was
proved, then tries attacks and names what refused each. Exit status 0 only if every step and every refusal happened.
Everything runs in a temporary folder and is ended and removed afterwards, or kept running with --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

DIFFERENT = 3  # something happened otherwise than it must


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--image", nargs="+", type=Path, default=[], metavar="FILE",
                        help="classify these photographs instead of the samples")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave it running; print commands to try by hand")
    parser.add_argument("--plain", action="store_true", help="one line a step, no live display")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, nothing else")
    parser.add_argument("--beside-real-tee", action="store_true", help="simulate although this machine has a real TEE")
    parser.add_argument("--export", type=Path, metavar="FOLDER",
                        help="run nothing: write model, class names and photographs there")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the demonstration, or write its material out."""
    from rich.console import Console

    from strongroom.cli.frame import Misuse
    from strongroom.demo import Options, demonstrate, export

    if args.export:
        sys.stdout.writelines(f"{path}\n" for path in export(args.export, os.environ))
        return 0
    if args.keep and args.json:
        raise Misuse("--keep prints commands for a person, --json a report for a machine: choose one")
    options = Options(
        images=tuple(args.image),
        keep=args.keep,
        as_json=args.json,
        plain=args.plain,
        beside_real_tee=args.beside_real_tee,
    )
    report = demonstrate(options, os.environ, Console())
    if args.json:
        sys.stdout.write(json.dumps(report.to_json_object(), indent=2) + "\n")
    return 0 if report.ok else DIFFERENT
