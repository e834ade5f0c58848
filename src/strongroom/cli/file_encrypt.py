"""Seal a file under a 16-byte wrap key, in Gramine's encrypted-file format, bound to a path.

The path is the one at which a Gramine mount will open the file: the mount's uri without "file:", and what follows
below a mounted folder. It is stored normalised; a file that is moved away from it no longer opens.

Format v1 is read by every Gramine; v2 by Gramine 1.9 and later alone.

  strongroom file encrypt --new-key wrap.key -i model.onnx -o models/resnet50/1/model.onnx
  strongroom file encrypt -w wrap.key -i model.onnx -o out.bin --path models/resnet50/1/model.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom import sealing
from strongroom.cli import file_common as common


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    keys = parser.add_mutually_exclusive_group(required=True)
    common.add_key(keys, required=False)
    keys.add_argument("--new-key", metavar="KEYFILE", type=Path, help="make a fresh key file, never replace one")
    common.add_input(parser, "the file to seal")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the sealed file to write")
    parser.add_argument("--path", metavar="STORED", help="path to bind the file to (default: OUT, normalised)")
    parser.add_argument("--format", choices=("v1", "v2"), default="v1", help="format version (default: v1)")
    common.add_workers(parser)
    common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    common.refuse_key_as_output(args.output, args.wrap_key)
    key = sealing.new_wrap_key(args.new_key) if args.new_key else sealing.read_wrap_key(args.wrap_key)
    stored = str(args.output) if args.path is None else common.manifest_path(args.path)
    try:
        with common.progress_bar("sealing", args.input) as progress:
            summary = sealing.encrypt_file(
                Path(args.input), args.output, key, stored_path=stored, version=int(args.format[1]),
                workers=args.workers, progress=progress,
            )  # fmt: skip
    except BaseException:
        if args.new_key:  # a failed run leaves nothing behind
            args.new_key.unlink()
        raise
    sentence = f"sealed {args.input} as {args.output}: {common.describe(summary)}"
    common.print_result(args, summary, sentence, output=str(args.output))
    return 0
