"""Fuzz the parsers with coverage feedback (Atheris), each in a process of its own.

Instrumenting the packages takes longer than a short run: it is done once, and each target gets a fork of that.

    .venv/bin/python tools/fuzz/fuzz.py [--seconds N | --runs N] [--seed N] [--keep FOLDER] [TARGET ...]

`--seconds` and `--runs` bound each target (default: 20 seconds). An input that makes a parser raise anything but
Strongroom's errors, take more than five seconds or more than 2 GiB is kept and its path printed; exit status 1.
With --keep, inputs that reached new code are kept for the next run.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import atheris
from targets import TARGETS, Parser

SLOW_SECONDS = 5
MEMORY_MB = 2048
LARGEST_INPUT = 64 * 1024


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="run each target so long (default: 20)")
    parser.add_argument("--runs", type=int, metavar="N", help="run each target so often instead")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="make the same inputs again (default: others)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep and reuse inputs that reached new code")
    args = parser.parse_args()
    unknown = sorted(set(args.targets) - set(TARGETS))
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    bounds = [f"-runs={args.runs}" if args.runs else f"-max_total_time={args.seconds}", f"-seed={args.seed}"]
    names = args.targets or list(TARGETS)
    with atheris.instrument_imports(include=["strongroom"], enable_loader_override=False):
        parsers = {name: TARGETS[name].make() for name in names}
    failed = [name for name in names if not passed(name, parsers[name], bounds, args.keep)]
    sys.stdout.write(f"{len(failed)} targets failed{': ' if failed else ''}{', '.join(failed)}\n")
    return 1 if failed else 0


def passed(name: str, parse: Parser, bounds: list[str], keep: Path | None) -> bool:
    """Fuzz one target in a fork of this process; say how it went."""
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as said:
        corpus = (keep or Path(scratch)) / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        found = Path("fuzz-findings") / name
        found.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_len={LARGEST_INPUT}", f"-timeout={SLOW_SECONDS}", f"-rss_limit_mb={MEMORY_MB}"]
        # nobody else adds to the corpus; read again after a second, seeds that showed nothing new run beyond `bounds`
        options = [*bounds, *limits, "-reload=0", f"-artifact_prefix={found}/", str(corpus)]
        sys.stdout.flush()  # or the fork would say it again
        child = os.fork()
        if child == 0:
            fuzz(parse, options, said.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        log = said.read().decode(errors="replace").splitlines()
    runs = next((line for line in reversed(log) if line.startswith("Done ")), "")
    sys.stdout.write(f"{name:>16}  {runs or 'failed'}\n")
    if status == 0 and runs:
        for folder in (found, found.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
        return True
    sys.stdout.write("\n".join(log[-40:]) + "\n")
    return False


def fuzz(parse: Parser, options: list[str], output: int) -> NoReturn:
    """Fuzz one target in this process, which libFuzzer ends."""
    from strongroom.errors import StrongroomError

    def once(data: bytes) -> None:
        with suppress(StrongroomError):  # the one way to refuse
            parse(data)

    try:
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        atheris.Setup([sys.argv[0], *options], once)
        atheris.Fuzz()
    except SystemExit:
        pass  # a finding, which has been printed
    except BaseException:  # noqa: BLE001  # whatever it is: this process must not go on as its parent
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).exit(1)  # runs libFuzzer's handler, which keeps the input; `os._exit` would not
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
