"""Fuzz the parsers with coverage feedback (Atheris), each in a process of its own.

    .venv/bin/python tools/fuzz/fuzz.py [--seconds N | --runs N] [--keep FOLDER] [TARGET ...]

`--seconds` and `--runs` bound each target (default: 20 seconds). An input that makes a parser raise anything but
Strongroom's errors, take more than five seconds or more than 2 GiB is kept and its path printed; exit status 1.
With --keep, inputs that reached new code are kept for the next run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris
from targets import TARGETS

SLOW_SECONDS = 5
MEMORY_MB = 2048
LARGEST_INPUT = 64 * 1024


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="run each target so long (default: 20)")
    parser.add_argument("--runs", type=int, metavar="N", help="run each target so often instead")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep and reuse inputs that reached new code")
    parser.add_argument("--inside", metavar="TARGET", help=argparse.SUPPRESS)
    args, rest = parser.parse_known_args()
    if args.inside:
        fuzz(args.inside, rest)
    unknown = [*sorted(set(args.targets) - set(TARGETS)), *rest]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}")
    bound = f"-runs={args.runs}" if args.runs else f"-max_total_time={args.seconds}"
    failed = [name for name in args.targets or TARGETS if not passed(name, bound, args.keep)]
    sys.stdout.write(f"{len(failed)} targets failed{': ' if failed else ''}{', '.join(failed)}\n")
    return 1 if failed else 0


def passed(name: str, bound: str, keep: Path | None) -> bool:
    """Fuzz one target in a child process; say how it went."""
    with tempfile.TemporaryDirectory() as scratch:
        corpus = (keep or Path(scratch)) / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        found = Path("fuzz-findings") / name
        found.mkdir(parents=True, exist_ok=True)
        limits = (f"-max_len={LARGEST_INPUT}", f"-timeout={SLOW_SECONDS}", f"-rss_limit_mb={MEMORY_MB}")
        inside: tuple[str | Path, ...] = (sys.executable, Path(__file__), "--inside", name, bound)
        command = (*inside, *limits, f"-artifact_prefix={found}/", corpus)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    log = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    runs = next((line for line in reversed(log) if line.startswith("Done ")), "")
    sys.stdout.write(f"{name:>16}  {runs or 'failed'}\n")
    if done.returncode == 0 and runs:
        for folder in (found, found.parent):
            if not any(folder.iterdir()):
                folder.rmdir()
        return True
    sys.stdout.write("\n".join(log[-40:]) + "\n")
    return False


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    with atheris.instrument_imports(include=["strongroom"], enable_loader_override=False):
        parse = TARGETS[name].make()
        from strongroom.errors import StrongroomError

    def once(data: bytes) -> None:
        with suppress(StrongroomError):  # the one way to refuse
            parse(data)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
