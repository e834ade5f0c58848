"""Fetch collateral into the mirror's cache ahead of need, and write it out for a machine without any network.

Name platform families (--fmspc) or quotes (--quote): for each, TCB info, QE identity and revocation lists are fetched
from the sources in order and verified; for quotes that do not carry their PCK certificate, that too. A platform family
that has no TDX is filled for SGX alone. --out writes all that the cache holds as recorded answers: carry that folder to
the other machine and serve it there with: strongroom pccs serve --recorded FOLDER.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse
from strongroom.cli.pccs_upstream import open_mirror, upstream_arguments

if TYPE_CHECKING:
    from strongroom.collateral import pccs

_FMSPC = re.compile(r"[0-9A-Fa-f]{12}")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    wanted = parser.add_argument_group("what to fetch")
    wanted.add_argument("--fmspc", type=_fmspc, action="append", default=[], help="a platform family, 12 hex digits")
    wanted.add_argument("--quote", metavar="FILE", type=Path, action="append", default=[], help="a quote, raw bytes")
    upstream_arguments(parser)
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="write all that the cache holds there")


def run(args: argparse.Namespace) -> int:
    """Fetch, then write; print what was done, one line each."""
    from strongroom.attestation import parse_quote
    from strongroom.attestation.quote import MAX_QUOTE_BYTES
    from strongroom.cli.quote_verify import read_file
    from strongroom.collateral.pccs import Mode

    mirror = open_mirror(args, Mode.LAZY)
    if mirror is None:
        raise Misuse("there is no cache to fill", fix="Name it with --cache DIR.")
    for fmspc in args.fmspc:
        sys.stdout.write(f"{fmspc}: {_filled(mirror, fmspc)}\n")
    for path in args.quote:
        mirror.fill_for(parse_quote(read_file(path, MAX_QUOTE_BYTES)))
        sys.stdout.write(f"{path}: fetched\n")
    if args.out is not None:
        sys.stdout.write(f"{args.out}: {_written(mirror, args.out)} answers\n")
    return 0


def _filled(mirror: pccs.Mirror, fmspc: str) -> str:
    from strongroom.attestation import Tee
    from strongroom.collateral import CollateralUnavailable

    found = [tee.value for tee in Tee if mirror.fill(tee, fmspc)]
    if not found:
        raise CollateralUnavailable(f"no source knows the platform family {fmspc}", fix="Check its 12 hex digits.")
    return f"fetched for {' and '.join(found)}"


def _written(mirror: pccs.Mirror, folder: Path) -> int:
    from strongroom.collateral.pccs.administration import write_recordings
    from strongroom.collateral.pccs.recording import record

    recordings = [recording for each in mirror.held() if (recording := record(each)) is not None]
    write_recordings(folder, recordings)
    return len(recordings)


def _fmspc(text: str) -> str:
    if not _FMSPC.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not 12 hex digits")
    return text.upper()
