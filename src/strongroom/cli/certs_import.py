"""Check an existing ssl_configure folder and, with --into, take over what is usable.

Prints every weakness with what to do about it. A key that does not belong to its certificate is an error; so is taking
over a key that is published. What is taken over is written anew: without the CA's key, readable by you alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from strongroom.pki import Finding, ssl_configure


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="an ssl_configure folder")
    parser.add_argument("--into", metavar="FOLDER", type=Path, help="write the usable parts to this new folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 also when there are some."""
    now = datetime.now(UTC)
    if args.into is None:
        findings = ssl_configure.inspect(args.folder, now=now)
    else:
        findings = ssl_configure.take_over(args.folder, args.into, now=now)
    sys.stdout.write(as_json(args, findings) if args.json else as_text(args, findings))
    return 0


def as_json(args: argparse.Namespace, findings: list[Finding]) -> str:
    """Return the findings for a machine."""
    into = None if args.into is None else str(args.into)
    found = [finding.to_json_object() for finding in findings]
    return json.dumps({"folder": str(args.folder), "into": into, "findings": found}) + "\n"


def as_text(args: argparse.Namespace, findings: list[Finding]) -> str:
    """Return the findings for a person: one block each, what to do below what was seen."""
    lines = [f"{args.folder}: {len(findings)} findings" if findings else f"{args.folder}: nothing to complain about"]
    for finding in findings:
        lines += [f"{finding.name}  {finding.where}: {finding.seen}", f"    {finding.fix}"]
    if args.into is not None:
        lines.append(f"wrote {args.into}, without the CA's key")
    return "\n".join(lines) + "\n"
