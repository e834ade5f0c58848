"""Tell what a job did: who proved what it is, which keys were used, which data was read and written, how long it took.

DIR is what spark submit kept of the job. With --check, the lineage of what it wrote is held against the data sets in
the folders named, with the owner's keys: a record, an input or an output that was changed is found, and a folder that
now holds what the job neither read nor wrote. Exit status 3 then.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strongroom.cli.data_common import keys_arguments, keys_of
from strongroom.cli.frame import Misuse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("folder", metavar="DIR", type=Path, help="the job's folder")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as a page, too")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", metavar="DATA", type=Path, action="append", default=[],
                        help="check the lineage, and this data set with it; repeat for more")  # fmt: skip
    parser.add_argument("--with", metavar="DIR", dest="others", type=Path, action="append", default=[],
                        help="with --check: another job's folder, whose outputs this one read")  # fmt: skip
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report, and check what is to be checked."""
    from strongroom.analytics.report import page, words
    from strongroom.analytics.report.finishing import to_json
    from strongroom.analytics.report.gather import gather
    from strongroom.pki import disk

    if args.others and not args.check:
        raise Misuse("--with is for --check", fix="Name the data sets whose lineage is to be checked with --check.")
    report = gather(args.folder)
    checked = _checked(args) if args.check else None
    if args.html is not None:
        disk.replace_private(args.html, page.html(report).encode())
    if args.json:
        sys.stdout.write(json.dumps({**to_json(report), "lineage": checked}) + "\n")
        return 0
    sys.stdout.write(words.text(report))
    if checked is not None:
        counted = (_counted(checked["records"], "record"), _counted(checked["links"], "input") + " compared",
                   _counted(checked["data_sets"], "data set") + " whole")  # fmt: skip
        sys.stdout.write(f"lineage holds: {', '.join(counted)}\n")
    if args.html is not None:
        sys.stdout.write(f"the page is in {args.html}\n")
    return 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _checked(args: argparse.Namespace) -> dict[str, int]:
    from strongroom.analytics.report import lineage
    from strongroom.analytics.report.finishing import read_lineage
    from strongroom.analytics.sealing.read import OpenDataset, read_manifest

    records = [record for folder in (args.folder, *args.others) for record in read_lineage(folder)]
    manifests = [read_manifest(folder) for folder in args.check]
    names = {each.key_id.name for each in records} | {each.key_id.name for each in manifests}
    with keys_of(args, *names) as keys:
        links = lineage.verify(records, manifests, keys)
        lineage.check_named(records, manifests)
        for folder in args.check:
            with OpenDataset(folder, keys) as dataset:
                dataset.verify()
    return {"records": len(records), "links": links, "data_sets": len(manifests)}
