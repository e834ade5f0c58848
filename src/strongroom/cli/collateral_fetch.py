"""Fetch the collateral of a platform from Intel, a PCCS or a cloud, verified, into a file or a cache.

Names the platform by a quote, or by --fmspc (with --tee and --ca). Each part is verified before it is used; what every
source said is on stderr. With --cache the parts also stay in a folder that other commands and the broker share.

  strongroom collateral fetch --quote quote.bin --out 00906ED50000.json
  strongroom collateral fetch --fmspc 00806F050000 --tee tdx --source https://pccs.example:8081 --source intel-pcs
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from strongroom.cli.collateral_options import (
    anchors_of,
    clock_of,
    fmspc,
    log_to_stderr,
    read_quote,
    settings_of,
    source_arguments,
    tee,
)
from strongroom.cli.workspace_option import workspace_argument


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--quote", type=Path, metavar="FILE", help="fetch for the platform of this quote")
    which.add_argument("--fmspc", type=fmspc, metavar="HEX", help="fetch for this platform family")
    parser.add_argument("--tee", type=tee, default="SGX", metavar="sgx|tdx", help="with --fmspc (default: sgx)")
    parser.add_argument("--ca", choices=("platform", "processor"), default="platform",
                        help="with --fmspc: which CA certified the platform (default: platform)")  # fmt: skip
    parser.add_argument("--tcb-eval", type=int, metavar="N", help="this evaluation number instead of --update")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write here (default: stdout, unless --cache is given)"
    )
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the parts in this cache")
    source_arguments(parser)
    workspace_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch, verify, write."""
    from strongroom.attestation.validity import timestamp
    from strongroom.collateral import open_sources
    from strongroom.collateral.gather import Choice, Platform
    from strongroom.pki.disk import replace_public

    log_to_stderr()
    settings, base = settings_of(args)
    settings = replace(settings, cache=str(args.cache.absolute()) if args.cache else None)
    if args.tcb_eval is not None:
        settings = replace(settings, choice=Choice(number=args.tcb_eval))
    live = open_sources(settings, anchors=anchors_of(args), base=base, clock=clock_of(args))
    if args.quote is not None:
        collateral = live.collateral_for(read_quote(args.quote))
    else:
        collateral = live.collateral_of(Platform(tee=args.tee, fmspc=args.fmspc, ca=args.ca))
    for part in live.parts():
        span = part.checked.span
        sys.stderr.write(f"{part.checked.subject}: number {part.checked.number}, {timestamp(span.issued)} to"
                         f" {timestamp(span.until)}, from {part.source}\n")  # fmt: skip
    text = collateral.to_json() + "\n"
    if args.out is not None:
        replace_public(args.out, text.encode("utf-8"))
        sys.stdout.write(f"{args.out}\n")
    elif args.cache is None:
        sys.stdout.write(text)
    return 0
