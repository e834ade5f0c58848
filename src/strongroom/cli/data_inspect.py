"""Say what a sealed data set is: name, kind, generation, key and files, as its folder says, without any key.

That much is public, and anybody who can write to the folder can make it say something else. With --verify the keys of
the workspace (or --keys) check the manifest and every block of every file, and the sealed schema is shown, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from strongroom.cli.data_common import MAX_GENERATION, facts, headline, keys_arguments, keys_of, progress_bar
from strongroom.cli.frame import Misuse
from strongroom.cli.option_types import local_path, whole_number

if TYPE_CHECKING:
    from strongroom.datasets.manifest import Manifest

SHOWN: Final = 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", type=local_path, help="the data set's folder")
    parser.add_argument("--verify", action="store_true", help="check everything, with the keys")
    parser.add_argument("--min-generation", type=whole_number(0, MAX_GENERATION), metavar="N",
                        help="with --verify: refuse a copy older than that")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the manifest says, and whether it holds."""
    from strongroom.analytics.sealing.read import OpenDataset, read_manifest

    if args.min_generation is not None and not args.verify:
        raise Misuse("--min-generation is for --verify", fix="Add --verify: without keys anybody could have set it.")
    manifest, schema = read_manifest(args.folder), None
    if args.verify:
        with (
            keys_of(args, manifest.key_id.name) as keys,
            OpenDataset(args.folder, keys, min_generation=args.min_generation or 0) as dataset,
            progress_bar("verifying", quiet=args.json) as progress,
        ):
            dataset.verify(progress)
            manifest, schema = dataset.manifest, dataset.schema
    if args.json:
        sys.stdout.write(json.dumps({**facts(manifest, args.folder), "verified": args.verify, "schema": schema}) + "\n")
    else:
        sys.stdout.write(_told(manifest, schema))
    return 0


def _told(manifest: Manifest, schema: str | None) -> str:
    lines = [headline(manifest), f"  written  {manifest.created:%Y-%m-%d %H:%M:%S} UTC"]
    if schema:
        lines.append(f"  schema   {schema}")
    lines += [f"  {each.size:>12}  {each.path}" for each in manifest.files[:SHOWN]]
    if len(manifest.files) > SHOWN:
        lines.append(f"  and {len(manifest.files) - SHOWN} more")
    lines.append("verified: manifest, list and every block" if schema is not None
                 else "not authenticated: this is what the folder says; --verify checks it with the key")  # fmt: skip
    return "\n".join(lines) + "\n"
