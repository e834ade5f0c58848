"""`strongroom-model-server`: the model server under TensorFlow Serving's command line, flags and start errors."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence

from strongroom import __version__
from strongroom.cli import serve
from strongroom.cli.frame import FileTrouble, Misuse, Parser, describe, guarded, report
from strongroom.errors import BadInput, StrongroomError
from strongroom.serving.flag_table import FLAGS
from strongroom.serving.options import PlaintextServer
from strongroom.serving.status import ModelsNotAvailable, code_of
from strongroom.tfserving.config import BadConfigText

START_FAILED = 255  # what a shell sees of TensorFlow Serving's -1
_ABOUT = f"""{(serve.__doc__ or "").partition("Exit status:")[0]}\
Exit status: 0 stopped, 255 bad start, 3 the key was refused or something was tampered with, 4 the broker was not
reached. A model needs --model_base_path or --model_config_file, and --ssl_config_file unless --insecure.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; return 0 when stopped, 255 for a bad start, 3 for a refused key, 4 for a broker that was not reached.

    MODEL_NAME and MODEL_BASE_PATH of the environment stand for flags, as in TensorFlow Serving's images.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _serve(words))


def _serve(words: list[str]) -> int:
    if "--version" in words:
        sys.stdout.write(version_text())
        return 0
    parser = Parser(prog="strongroom-model-server", usage="strongroom-model-server [--flag=value ...]",
                    description=_ABOUT, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    serve.arguments(parser)
    try:
        args, unknown = parser.parse_known_args(words)
        if unknown:
            sys.stdout.write(f"unknown argument: {unknown[0]}\n{parser.format_usage()}")
            report(Misuse(f"there is no flag {unknown[0][:80]!r}", fix=_instead_of(unknown[0])), as_json=False)
            return START_FAILED
        return serve.serve_flags(serve.given_flags(args), os.environ)
    except (BadInput, PlaintextServer, ModelsNotAvailable) as problem:
        _report_start(problem)
    except (FileNotFoundError, PermissionError) as problem:
        _report_start(FileTrouble(describe(problem)))
    return START_FAILED


def _instead_of(word: str) -> str:
    """Return the advice for an unknown argument: the flag it resembles, if any."""
    near = difflib.get_close_matches(word.partition("=")[0].lstrip("-"), FLAGS, n=1)
    meant = f"Did you mean --{near[0]}? " if near else ""
    return f"{meant}strongroom-model-server --help lists the flags."


def _report_start(problem: StrongroomError) -> None:
    """Print a bad start as TensorFlow Serving does, and as we do."""
    code = "INVALID_ARGUMENT" if isinstance(problem, PlaintextServer) else code_of(problem).name
    sys.stdout.write(f"Failed to start server. Error: {code}: {problem.sentence}\n")
    sys.stdout.flush()
    said = f"{problem.sentence}\n" if isinstance(problem, BadConfigText) else ""
    sys.stderr.write(f"{said}strongroom-model-server: {problem.fix} [{problem.code}]\n")


def version_text() -> str:
    """Return the two lines of `--version`: ourselves and the engine."""
    from strongroom.bundles.onnx_runtime import onnxruntime

    return f"Strongroom ModelServer: {__version__}\nONNX Runtime Library: {onnxruntime.__version__}\n"


if __name__ == "__main__":
    sys.exit(main())
