"""What an executor's container starts with: hands what Spark told the pod to the measured program. Trusted by nobody.

    python -m strongroom.analytics.agent.pod_executor --home=DIR --words=FILE -- COMMAND… executor

Stands outside of the enclave, as the script in the place of `java` does on other clusters: the words for Java go into a
file and to standard input, each ended by NUL; of the environment nothing else goes further. COMMAND launches
strongroom.analytics.agent.executor, which checks each word, and its exit status is the container's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput, StrongroomError
from strongroom.pki import disk
from strongroom.sparkjobs.executor_pod import ROLE, NotAnExecutorPod, command

_KEPT: Final = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
_KEPT_OF: Final = ("SGX_", "AZDCAP_")  # where the machine's quoting service is


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write the words and become the launcher; return an exit status only if that does not come to pass."""
    ours, launch = _split(argv)
    args = _parser().parse_args(ours)
    try:
        if len(launch) < 2 or launch[-1] != ROLE:
            raise NotAnExecutorPod(f"the last word is not {ROLE}, which Spark says to its executors")
        write(args.words, command(environ, args.home))
        with args.words.open("rb") as words:
            os.dup2(words.fileno(), 0)
        os.execvpe(launch[0], launch[:-1], kept(environ))  # noqa: S606  # the words of the pod's template
    except StrongroomError as problem:
        sys.stderr.write(f"executor: {problem.sentence}\n  what to do: {problem.fix}\n  [{problem.code}]\n")
        return problem.exit_status
    except OSError as problem:
        sys.stderr.write(f"executor: {problem}\n")
        return BadInput.exit_status


def write(path: Path, words: Sequence[str]) -> None:
    """Write words as the measured program reads them."""
    disk.replace_private(path, b"".join(word.encode("ascii") + b"\0" for word in words))


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a launcher sees of the environment."""
    return {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_OF)}


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(argv)
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pod_executor", description=__doc__, allow_abbrev=False)
    parser.add_argument("--home", required=True, help="Spark's folder")
    parser.add_argument("--words", type=Path, required=True, help="where the words for Java go")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
