"""Bring a sealed data set under the newest version of a primary key, or under another one.

Only the wrapped data key changes, so this is quick however large the data is, and readers notice nothing. It takes
data away from nobody: whoever could read it may have kept its data key. --data seals everything anew, into a new
folder (--out), under a fresh data key.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from strongroom.cli.data_common import facts, headline, key_of_dataset, keys_arguments, keys_of, progress_bar
from strongroom.cli.option_types import local_path
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.analytics.keys.service import KeyService
    from strongroom.datasets.manifest import Manifest


class OutWithData(BadInput):
    """--data and --out go together."""

    code = "SR-DATA-REKEY-OUT"
    fix = "Give both to seal all data anew into a new folder, or none of them to wrap its key anew."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", type=local_path, help="the data set's folder")
    parser.add_argument("--key", required=True, metavar="NAME", help="the primary key that it is to be under")
    parser.add_argument("--data", action="store_true", help="seal all data anew under a fresh data key")
    parser.add_argument("--out", type=local_path, metavar="DIR", help="with --data: the folder of the new data set")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Rewrap or reseal."""
    from strongroom.analytics.sealing.rekey import rewrap

    if args.data != (args.out is not None):
        raise OutWithData("--data writes to --out, and --out is for --data")
    with keys_of(args, args.key, key_of_dataset(args.folder)) as keys:
        manifest = _resealed(args, keys) if args.data else rewrap(args.folder, keys, args.key)
    place = args.out or args.folder
    done = "sealed anew" if args.data else "wrapped anew"
    told = f"{done} {headline(manifest)}\n  folder   {place}\n"
    sys.stdout.write(json.dumps(facts(manifest, place)) + "\n" if args.json else told)
    return 0


def _resealed(args: argparse.Namespace, keys: KeyService) -> Manifest:
    from strongroom.analytics.sealing.read import OpenDataset
    from strongroom.analytics.sealing.rekey import reseal
    from strongroom.analytics.sealing.write import DatasetWriter

    with (
        OpenDataset(args.folder, keys) as dataset,
        DatasetWriter(args.out, keys, name=dataset.manifest.name, key=args.key, kind=dataset.manifest.kind) as writer,
        progress_bar("sealing", quiet=args.json) as progress,
    ):
        return reseal(dataset, writer, progress)
