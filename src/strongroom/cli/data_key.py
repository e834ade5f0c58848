"""Make a primary key that data is sealed under, or give it another version.

The key goes into the workspace under secret/data-NAME and leaves it by a release of the broker alone: to the programs
that a policy names. --rotate adds a version, under which data is sealed from now on; data under those before opens
still, and strongroom data rekey brings it under the new one. --end-overlap keeps the newest version alone. With
--file, the key is a file in a folder instead, for tests.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.data_common import owners_keys
from strongroom.cli.key_common import opened
from strongroom.cli.passphrase import passphrase_argument
from strongroom.cli.workspace_option import workspace_argument

if TYPE_CHECKING:
    from strongroom.datasets.key_ring import KeyRing


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="the primary key's name, such as people")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--rotate", action="store_true", help="add a version; those before open still")
    change.add_argument("--end-overlap", action="store_true", help="keep the newest version alone")
    parser.add_argument("--file", type=Path, metavar="FOLDER", help="keep the key as FOLDER/NAME.key; for tests only")
    parser.add_argument("--tenant", metavar="NAME", default="default", help="the tenant (default: default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    workspace_argument(parser)
    passphrase_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Make or change the key."""
    from strongroom.analytics.keys.owner import Change, change_file, secret_name

    secret = str(secret_name(args.name))
    change = Change.KEEP
    if args.rotate or args.end_overlap:
        change = Change.ROTATE if args.rotate else Change.END_OVERLAP
    if args.file is not None:
        ring = change_file(args.file, args.name, change)
    else:
        with opened(args) as here:
            ring = owners_keys(here, args.tenant).change(args.name, change)
    place = secret if args.file is None else str(args.file / f"{args.name}.key")
    result = {"name": args.name, "key_id": str(ring.current_id), "versions": sorted(ring.keys), "place": place}
    sys.stdout.write(json.dumps(result) + "\n" if args.json else _told(args, ring, place))
    return 0


def _told(args: argparse.Namespace, ring: KeyRing, place: str) -> str:
    before = sorted(set(ring.keys) - {ring.current})
    still = f" (and version {', '.join(map(str, before))} until --end-overlap)" if before else ""
    told = f"primary key {ring.current_id}{still} is in {place}\n"
    if args.file is not None:
        return f"{told}  for tests only: whoever reads this file can read the data\n"
    return f"{told}  release it to a job's programs: strongroom policy trust BUILD --release {place}\n"
