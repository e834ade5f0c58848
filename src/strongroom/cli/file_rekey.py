"""Move a sealed file to another wrap key.

Only node 0 is sealed again; the data keeps its node keys. So this does NOT revoke: whoever had the old wrap key may
have kept the node keys and can still read the data. To revoke, decrypt and encrypt anew.

Without -o the file is replaced, atomically.

  strongroom file rekey -w old.key --new-key new.key -i models/resnet50/1/model.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

from strongroom import sealing
from strongroom.cli import file_common as common


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_key(parser)
    keys = parser.add_mutually_exclusive_group(required=True)
    keys.add_argument("--to", metavar="KEYFILE", type=Path, help="the wrap key to move to")
    keys.add_argument("--new-key", metavar="KEYFILE", type=Path, help="make a fresh key file and move to that")
    common.add_input(parser, "the sealed file")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="write here (default: replace IN)")
    common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    target = args.output or Path(args.input)
    for path in (args.wrap_key, args.to):
        common.refuse_key_as_output(target, path)
    key = common.opening_key(args.wrap_key)
    new_key = sealing.new_wrap_key(args.new_key) if args.new_key else sealing.read_wrap_key(args.to)
    try:
        summary = sealing.rewrite_file(Path(args.input), target, key, new_key=new_key, weak_key=True)
    except BaseException:
        if args.new_key:  # a failed run leaves nothing behind
            args.new_key.unlink()
        raise
    common.notice("holders of the old key may have kept the node keys; only sealing anew revokes")
    common.print_result(args, summary, f"rekeyed {target}: {common.describe(summary)}", output=str(target))
    return 0
