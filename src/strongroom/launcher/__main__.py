"""Start a JVM for the words that come from outside, once each of them has been checked.

    python -m strongroom.launcher --role=spark-executor --java=… --home=… --words-from=-

Its own words are the manifest's, and measured. The words for Java come from a file or standard input, each ended by
NUL, or follow after `--`. A refusal ends it with status 3 before anything is started.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from strongroom.errors import BadInput, StrongroomError
from strongroom.launcher.launch import Launch, check, read_words
from strongroom.launcher.reading import read_source
from strongroom.launcher.roles import LaunchArgumentRefused, Role, Settings


def main(argv: list[str]) -> int:
    """Check, then become Java; return an exit status only if that does not come to pass."""
    ours, words = _split(argv)
    args = _parser().parse_args(ours)
    try:
        _become(_launch(args, words))
    except OSError as problem:
        sys.stderr.write(f"launcher: {args.java} does not start: {problem.strerror}\n")
        return BadInput.exit_status
    except StrongroomError as problem:
        sys.stderr.write(f"launcher: {problem.sentence}\n  what to do: {problem.fix}\n  [{problem.code}]\n")
        return problem.exit_status


def _become(launch: Launch) -> NoReturn:
    for notice in launch.notices:
        sys.stderr.write(f"launcher: {notice}\n")
    sys.stderr.flush()
    os.execve(launch.argv[0], launch.argv, dict(launch.environment))  # noqa: S606  # every word was checked


def _split(argv: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in argv:
        return argv, None
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _launch(args: argparse.Namespace, words: list[str] | None) -> Launch:
    settings = Settings(
        role=Role(args.role), java=args.java, home=args.home, scratch=args.scratch, max_heap_mib=args.max_heap_mib,
        library_path=args.library_path,
        program=() if args.program_from is None else read_words(read_source(args.program_from)),
    )  # fmt: skip
    if (words is None) is (args.words_from is None):
        raise LaunchArgumentRefused("Java's words come from --words-from or after --, and from one of them")
    return check(words if words is not None else read_words(read_source(args.words_from)), settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("launcher", description=__doc__, allow_abbrev=False)
    parser.add_argument("--role", choices=[str(role) for role in Role], required=True)
    parser.add_argument("--java", required=True)
    parser.add_argument("--home", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--max-heap-mib", type=int, required=True)
    parser.add_argument("--library-path", default="")
    parser.add_argument("--program-from", type=Path, metavar="FILE", help="what a Spark driver runs")
    parser.add_argument("--words-from", type=Path, metavar="FILE", help="words for Java; - is standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
