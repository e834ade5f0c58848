"""Open a sealed data set into a folder of plain files.

Everything is verified: the manifest, which files there are, and every block of every file. If anything was changed,
nothing is written. The folder is yours alone (0700); what is in it is protected by nothing else any more.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.data_common import MAX_GENERATION, headline, key_of_dataset, keys_arguments, keys_of, progress_bar
from strongroom.cli.option_types import local_path, whole_number

if TYPE_CHECKING:
    from strongroom.analytics.sealing.read import OpenDataset, Progress


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", type=local_path, help="the data set's folder")
    parser.add_argument(
        "--out", required=True, type=local_path, metavar="FOLDER", help="a new folder for the plain files"
    )
    parser.add_argument("--min-generation", type=whole_number(0, MAX_GENERATION), default=0, metavar="N",
                        help="refuse a copy older than that")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Open everything, or nothing."""
    from strongroom.analytics.sealing.read import OpenDataset
    from strongroom.pki import disk

    with (
        keys_of(args, key_of_dataset(args.folder)) as keys,
        OpenDataset(args.folder, keys, min_generation=args.min_generation) as dataset,
        progress_bar("opening", quiet=args.json) as progress,
        disk.new_folder(args.out) as folder,
    ):
        written = write_all(dataset, folder, progress)
        result = {"name": dataset.manifest.name, "generation": dataset.manifest.generation, "out": str(args.out),
                  "bytes": written, "files": [entry.path for entry in dataset.files]}  # fmt: skip
        told = f"opened {headline(dataset.manifest)}\n  plain files are in {args.out}\n"
    sys.stdout.write(json.dumps(result) + "\n" if args.json else told)
    return 0


def write_all(dataset: OpenDataset, folder: Path, progress: Progress | None) -> int:
    """Write every file of a data set below a folder and return how many bytes there were."""
    from strongroom.analytics.sealing.read import copy_entry, steps
    from strongroom.pki.disk import SECRET_FOLDER_MODE

    written = 0
    for entry, heard in steps(dataset.files, progress):
        target = folder / entry.path
        target.parent.mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)
        with target.open("xb") as plain:  # nobody else may enter the folder
            written += copy_entry(dataset, entry.path, plain.write, heard)
    return written
