"""Check every node of a sealed file without writing plaintext anywhere.

Exit status 0 means: under this key, every byte of the plaintext is what was sealed, and the file is bound to --path
(by default the input path as given). It does not mean that the file is the newest version: compare its pin for that.

  strongroom file verify -w wrap.key -i models/resnet50/1/model.onnx
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
    common.add_expected_path(parser)
    common.add_opening(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    key = common.opening_key(args.wrap_key)
    expected = common.expected_path(args)
    with common.progress_bar("verifying", args.input) as progress:
        summary = sealing.verify_file(
            Path(args.input), key, stored_path=expected, strict=args.strict, weak_key=True,
            workers=args.workers, progress=progress,
        )  # fmt: skip
    common.print_result(args, summary, f"{args.input} is whole: {common.describe(summary)}")
    return 0
