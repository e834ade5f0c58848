"""Make a primary key that data is sealed under, or give it another version.

The key goes into the workspace under secret/data-NAME and leaves it by a release of the broker alone: to the programs
that a policy names. --rotate adds a version, under which data is sealed from now on; data under those before opens
still, and strongroom data rekey brings it under the new one. --end-overlap keeps the newest version alone: data sets
that need another one open no more, so it looks first into the folders that --data names, and changes nothing if one
there does. With --file, the key is a file in a folder instead, for tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from strongroom.cli.data_common import owners_keys
from strongroom.cli.key_common import opened
from strongroom.cli.option_types import local_path
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.analytics.keys.owner import Change
    from strongroom.analytics.parquet.needed import Found
    from strongroom.datasets.key_ring import KeyRing


class DataNotLookedAt(BadInput):
    """Versions of a primary key were to go, and nobody said where the data sets are that might need them."""

    code = "SR-DATA-KEY-UNSEEN"
    fix = "Name folders of data sets with --data DIR; --anyway looks at nothing."


class LookedAtForNothing(BadInput):
    """--data and --anyway are for --end-overlap, and one of them is enough."""

    code = "SR-DATA-KEY-LOOK"
    fix = "Give --end-overlap with --data DIR, or with --anyway."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="the primary key's name, such as people")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--rotate", action="store_true", help="add a version; those before open still")
    change.add_argument("--end-overlap", action="store_true", help="keep the newest version alone")
    parser.add_argument("--data", type=local_path, action="append", default=[], metavar="DIR",
                        help="with --end-overlap: a folder with data sets in or below it; may be repeated")  # fmt: skip
    parser.add_argument("--anyway", action="store_true", help="with --end-overlap: look at no data set")
    parser.add_argument(
        "--file", type=local_path, metavar="FOLDER", help="keep the key as FOLDER/NAME.key; for tests only"
    )
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Make or change the key."""
    from strongroom.analytics.keys.owner import Change, secret_name

    secret = str(secret_name(args.name))
    change = Change.KEEP
    if args.rotate or args.end_overlap:
        change = Change.ROTATE if args.rotate else Change.END_OVERLAP
    if (args.data or args.anyway) and (not args.end_overlap or (args.data and args.anyway)):
        raise LookedAtForNothing("--data and --anyway say what --end-overlap looks at")
    before = _held(args) if args.end_overlap else None
    found = _looked(args, before) if before is not None else None
    ring = _changed(args, change, seen=before.current if before is not None else None)
    place = secret if args.file is None else str(args.file / f"{args.name}.key")
    result = {"name": args.name, "key_id": str(ring.current_id), "versions": sorted(ring.keys), "place": place}
    if args.json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write(_told(args, ring, place) + _told_of_data(found))
    return 0


def _held(args: argparse.Namespace) -> KeyRing:
    from strongroom.analytics.keys.files import read_ring

    if args.file is not None:
        return read_ring(args.file, args.name)
    with opened(args) as here:
        return owners_keys(here, args.tenant).ring(args.name)


def _changed(args: argparse.Namespace, change: Change, *, seen: int | None = None) -> KeyRing:
    from strongroom.analytics.keys.owner import change_file

    if args.file is not None:
        return change_file(args.file, args.name, change, seen=seen)
    with opened(args) as here:
        return owners_keys(here, args.tenant).change(args.name, change, seen=seen)


def _looked(args: argparse.Namespace, ring: KeyRing) -> Found | None:
    """Look at the data sets that might need what goes. Raises DataNotLookedAt, VersionsNeeded, and as `look`."""
    from strongroom.analytics.parquet.needed import look

    going = ", ".join(str(version) for version in sorted(ring.keys) if version != ring.current)
    if not going or args.anyway:
        return None
    if not args.data:
        raise DataNotLookedAt(f"version {going} of primary key {ring.name} would go, and with it data that is under it")
    found = look(args.data, ring)
    found.check()
    return found


def _told_of_data(found: Found | None) -> str:
    if found is None:
        return ""
    unseen = "".join(f"  {path} opens under other keys: not looked into\n" for path in found.unseen)
    count = len(found.needing)
    return f"  {count} data set{'' if count == 1 else 's'} looked at: none needs another version\n{unseen}"


def _told(args: argparse.Namespace, ring: KeyRing, place: str) -> str:
    before = sorted(set(ring.keys) - {ring.current})
    still = f" (and version {', '.join(map(str, before))} until --end-overlap)" if before else ""
    told = f"primary key {ring.current_id}{still} is in {place}\n"
    if args.file is not None:
        return f"{told}  for tests only: whoever reads this file can read the data\n"
    return f"{told}  release it to a job's programs: strongroom policy trust BUILD --release {place}\n"
