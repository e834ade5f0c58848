"""Open a sealed file into an ordinary one; on failure nothing is left behind.

Every node is verified before a byte of it is written; the output (mode 0600) gets its name only when it is whole.
The path inside the file must be --path, by default the input path as given: a file that was moved here from
elsewhere is refused. A wrong key and a changed node 0 cannot be told apart; the message says both.

  strongroom file decrypt -w wrap.key -i models/resnet50/1/model.onnx -o model.onnx
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
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="the plaintext file to write")
    common.add_expected_path(parser)
    common.add_opening(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    common.refuse_key_as_output(args.output, args.wrap_key)
    key = common.opening_key(args.wrap_key)
    expected = common.expected_path(args)
    with common.progress_bar("opening", args.input) as progress:
        summary = sealing.decrypt_file(
            Path(args.input), args.output, key, stored_path=expected, strict=args.strict, weak_key=True,
            workers=args.workers, progress=progress,
        )  # fmt: skip
    sentence = f"opened {args.input} as {args.output}: {common.describe(summary)}"
    common.print_result(args, summary, sentence, output=str(args.output))
    return 0
