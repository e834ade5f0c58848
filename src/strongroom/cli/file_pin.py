"""Print the hash that identifies an exact version of a sealed file.

The pin is SHA-256 of node 0 (flags and padding set to zero). Node 0 holds a fresh nonce and the tags that vouch for
every byte, so a pin kept elsewhere detects that an older version was put back. No key is needed, and nothing is
proved about the content: that is what "file verify" does.

  strongroom file pin models/resnet50/1/model.onnx
"""

from __future__ import annotations

import argparse
import json
import re
import sys

from strongroom import sealing
from strongroom.cli import file_common as common
from strongroom.cli.frame import Misuse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    common.add_input_or_word(parser, "the sealed file")
    parser.add_argument("--expect", metavar="HEX", help="refuse (exit status 3) unless this is the pin")
    common.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    path = args.input or args.word
    if args.expect is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", args.expect):
        raise Misuse("a pin is 64 hex digits")
    pin = sealing.pin_file(path)
    if args.expect is not None and pin != bytes.fromhex(args.expect):
        raise sealing.WrongPin(f"{path} has the pin {pin.hex()}, wanted {args.expect.lower()}")
    sys.stdout.write(json.dumps({"file": path, "pin": pin.hex()}) + "\n" if args.json else f"{pin.hex()}  {path}\n")
    return 0
