"""Rewrite the path that a sealed file is bound to.

Only node 0 is sealed again, under the same wrap key. Without -o the file is replaced, atomically; the new path is
--path, by default the path of the result. This moves no file: it makes a moved file open where it now lies.
Magic of the old Graphene is rewritten to Gramine's on the way.

  mv models/a/1/model.onnx models/b/1/ && strongroom file rename -w wrap.key -i models/b/1/model.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom import sealing
from strongroom.cli import file_common as common


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_key(parser)
    common.add_input(parser, "the sealed file")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="write here (default: replace IN)")
    parser.add_argument("--path", metavar="STORED", help="the new path (default: OUT or IN, normalised)")
    parser.add_argument("--from", dest="old_path", metavar="STORED", help="refuse unless the file is bound to this now")
    common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    target = args.output or Path(args.input)
    common.refuse_key_as_output(target, args.wrap_key)
    key = sealing.read_wrap_key(args.wrap_key)
    old = None if args.old_path is None else common.manifest_path(args.old_path)
    with sealing.open(args.input, key, stored_path=old) as reader:
        before = reader.stored_path
    stored = str(target) if args.path is None else common.manifest_path(args.path)
    summary = sealing.rewrite_file(Path(args.input), target, key, stored_path=stored, old_path=before)
    sentence = f"{target} was bound to {common.shown(before)}, now to {common.shown(summary.stored_path)}"
    common.print_result(args, summary, sentence, output=str(target), old_path=before)
    return 0
