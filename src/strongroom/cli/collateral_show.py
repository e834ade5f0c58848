"""Show what a collateral file or the cache holds: sources, evaluation numbers, dates, days left, next refresh.

Each part is verified; what does not hold is shown with its code. A part ends at its next update or at --max-age,
whichever is first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from strongroom.cli.collateral_options import anchors_of, clock_of, settings_of, source_arguments
from strongroom.cli.workspace_option import workspace_argument
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.examination import PartFinding, examine_all


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE",
                        help="a collateral file, nine strings in JSON (default: the cache)")  # fmt: skip
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="this cache (default: the workspace's)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    source_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line for each part."""
    settings, base = settings_of(args)
    at = clock_of(args)()
    exchanges = list(_of_file(args.file) if args.file else of_cache(cache_folder(args, base)))
    findings = tuple(examine_all(exchanges, anchors=anchors_of(args), rules=settings.rules, at=at))
    if args.json:
        sys.stdout.write(json.dumps({"parts": [each.to_json_object(at) for each in findings]}, indent=2) + "\n")
        return 0
    for finding in findings:
        sys.stdout.write("\n".join(lines(finding, at)) + "\n")
    if not findings:
        sys.stdout.write(f"{args.file or cache_folder(args, base)} holds no collateral\n")
    return 0


def cache_folder(args: argparse.Namespace, base: Path) -> Path:
    """Return the cache that is meant: the one named, the workspace's own, or its usual place."""
    from strongroom.cli.collateral_options import workspace_settings
    from strongroom.collateral.settings import DEFAULT_CACHE

    if args.cache is not None:
        named: Path = args.cache
        return named
    found = workspace_settings(args.workspace)
    return args.workspace / DEFAULT_CACHE if found is None else base / (found[0].cache or DEFAULT_CACHE)


def lines(finding: PartFinding, at: datetime, *, named: bool = True) -> Iterator[str]:
    """Yield the lines that describe a part to a person; without `named`, where its source stands above it."""
    source = f"  from {finding.source}" if named else ""
    if finding.standing is None or finding.issued is None or finding.ends is None or finding.refresh_at is None:
        yield f"{finding.what}{source}"
        yield f"    not usable: {finding.problem} [{finding.code}]"
        yield f"    {finding.fix}"
        return
    yield f"{finding.what}  number {finding.number}{source}"
    left = (finding.ends - at) / timedelta(days=1)
    words = f"{left:.1f} days left" if left >= 0 else f"{-left:.1f} days ago"
    aged = " by --max-age" if finding.next_update is not None and finding.ends < finding.next_update else ""
    yield f"    {finding.standing.value}: {words}{aged}, to be renewed from {finding.refresh_at:%Y-%m-%d %H:%M} UTC"
    yield f"    issued {finding.issued:%Y-%m-%d %H:%M}, next update {finding.next_update:%Y-%m-%d %H:%M} UTC"


def of_cache(folder: Path) -> Iterator[tuple[Exchange, str]]:
    """Yield the answers in a cache, each with its source."""
    from strongroom.collateral.cache import Cache

    if folder.is_dir():
        for _, entry in Cache(folder).entries():
            yield Exchange(entry.request, entry.answer), entry.source


def _of_file(path: Path) -> Iterator[tuple[Exchange, str]]:
    from strongroom.collateral.file_source import FileSource

    source = FileSource(path)
    for request in source.requests():
        yield Exchange(request, source.answer(request)), str(path)
