"""Check every collateral source and the cache: reachable, answers that verify, days left, clocks; each with a fix.

Exit status 0 if at least one source can serve a verifier now and nothing in the cache is about to run out, else 4.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from strongroom.cli.collateral_options import (
    anchors_of,
    clock_of,
    fmspc,
    log_to_stderr,
    settings_of,
    source_arguments,
    tee,
)
from strongroom.cli.collateral_show import cache_folder, lines, of_cache
from strongroom.cli.workspace_option import workspace_argument
from strongroom.collateral.api import Kind, Request
from strongroom.collateral.examination import PartFinding, SourceFinding
from strongroom.errors import Unreachable


class NoSourceWorks(Unreachable):
    """No collateral source can serve a verifier now."""

    code = "SR-COLLATERAL-NO-SOURCE"
    fix = "Mend one of the sources listed above, or name another one with --source."


class CollateralRunsOut(Unreachable):
    """Cached collateral is about to run out, or has, and was not renewed in time."""

    code = "SR-COLLATERAL-RUNS-OUT"
    fix = "Run strongroom collateral fetch with the same cache, and see why the renewal in the background failed."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--fmspc", type=fmspc, metavar="HEX", help="also ask for this platform family's TCB info")
    parser.add_argument("--tee", type=tee, default="SGX", metavar="sgx|tdx", help="with --fmspc (default: sgx)")
    parser.add_argument("--ca", choices=("platform", "processor"), default="platform", help="whose CRL to ask for")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="look at this cache (default: the workspace's)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    source_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Examine and print; raise NoSourceWorks or CollateralRunsOut."""
    from strongroom.collateral.examination import examine_all

    log_to_stderr(level=30)
    settings, base = settings_of(args)
    clock, anchors = clock_of(args), anchors_of(args)
    sources = tuple(_examined(args, clock))
    at = clock()
    kept = tuple(examine_all(list(of_cache(cache_folder(args, base))), anchors=anchors, rules=settings.rules, at=at))
    if args.json:
        found = {
            "sources": [_object(each, at) for each in sources],
            "cache": [each.to_json_object(at) for each in kept],
        }
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _report(sources, kept, at)))
    if not any(source.works for source in sources):
        raise NoSourceWorks(f"none of {len(sources)} sources can serve a verifier now")
    late = [part for part in kept if not part.good]
    if late:
        raise CollateralRunsOut(f"{len(late)} of {len(kept)} cached parts need a renewal: {late[0].what}")
    return 0


def _examined(args: argparse.Namespace, clock: Callable[[], datetime]) -> Iterator[SourceFinding]:
    from strongroom.collateral.client import HttpSource
    from strongroom.collateral.examination import examine_source
    from strongroom.collateral.opening import answer_sources

    settings, base = settings_of(args)
    anchors = anchors_of(args)
    for source in answer_sources(settings, base):
        profile = source.profile if isinstance(source, HttpSource) else None
        wanted = [each for each in _requests(args) if profile is None or profile.answers(each.kind)]
        notes = (*profile.notes, *([profile.unverified] if profile.unverified else [])) if profile else ()
        if not wanted:
            notes = (*notes, "it is asked for PCK certificates only, which takes a quote to try")
        yield examine_source(source, wanted, anchors=anchors, rules=settings.rules, clock=clock, notes=notes)


def _requests(args: argparse.Namespace) -> Iterator[Request]:
    yield Request(kind=Kind.ROOT_CRL)
    yield Request(kind=Kind.PCK_CRL, parameters={"ca": args.ca, "encoding": "der"})
    parameters = {"update": args.update} if args.update == "early" else {}
    yield Request(kind=Kind.QE_IDENTITY, tee=args.tee, parameters=parameters)
    if args.fmspc:
        yield Request(kind=Kind.TCB, tee=args.tee, parameters={"fmspc": args.fmspc, **parameters})


def _object(source: SourceFinding, at: datetime) -> dict[str, object]:
    return {
        "source": source.name,
        "works": source.works,
        "clock_skew_s": source.skew and source.skew.total_seconds(),
        "notes": list(source.notes),
        "parts": [part.to_json_object(at) for part in source.parts],
    }


def _report(sources: Sequence[SourceFinding], kept: Sequence[PartFinding], at: datetime) -> Iterator[str]:
    for source in sources:
        yield f"{'ok  ' if source.works else 'FAIL' if source.parts else '-   '} {source.name}"
        for note in source.notes:
            yield f"    note: {note}"
        if source.skew is not None and source.skewed:
            yield f"    clocks differ by {source.skew.total_seconds():.0f} s (its HTTP Date minus our time)"
            yield "    Set this machine's clock from a source you trust; if it is right, the server's is wrong."
        for part in source.parts:
            yield from (f"    {line}" for line in lines(part, at, named=False))
    if kept:
        yield "cache"
        for part in kept:
            yield from (f"    {line}" for line in lines(part, at))
