"""What the `file` verbs share: their options, the stored path they expect, progress, and what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from strongroom import sealing
from strongroom.errors import BadInput
from strongroom.sealing.paths import printable, to_bytes
from strongroom.secret import Secret

LONG_BYTES: Final = 64 * 1024 * 1024  # below this nobody waits long enough to read a progress bar


class KeyInTheWay(BadInput):
    """The output of a file command is the key file itself."""

    code = "SR-OUTPUT-IS-KEY"
    fix = "Name another output: writing there would destroy the key."


def add_key(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup, *, required: bool = True) -> None:
    """Add `-w KEYFILE`."""
    parser.add_argument("-w", "--wrap-key", metavar="KEYFILE", type=Path, required=required,
                        help="file of exactly 16 raw bytes; a pipe will do: -w <(decrypt-my-key)")  # fmt: skip


def add_input(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `-i IN`."""
    parser.add_argument("-i", "--input", metavar="IN", required=True, help=what)


def add_input_or_word(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `-i IN`, or the same without a flag, for verbs that take nothing else."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("-i", "--input", metavar="IN", help=what)
    group.add_argument("word", metavar="IN", nargs="?", help="the same, without a flag")


def add_expected_path(parser: argparse.ArgumentParser) -> None:
    """Add `--path` and `--any-path`, the two ways to say what a file must be bound to."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--path", metavar="STORED", help="path the file must be bound to (default: IN as given)")
    group.add_argument("--any-path", action="store_true", help="do not check the path; says so on standard error")


def add_opening(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that open a whole file."""
    parser.add_argument("--strict", action="store_true", help="refuse a file whose last write was cut off")
    add_workers(parser)
    add_json(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add `--workers`."""
    parser.add_argument("--workers", metavar="N", type=worker_count, default=0,
                        help="processes to share the work (default: one per core from 256 MiB on, else 1)")  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def worker_count(text: str) -> int:
    """Parse the number of workers, 1 to 256."""
    count = int(text)
    if not 1 <= count <= 256:
        raise ValueError(text)
    return count


def manifest_path(text: str) -> str:
    """Return a stored path as the manifest's mount has it: `file:models/x` means `models/x`."""
    if text.startswith("file:"):
        notice(f"taking the manifest uri {text} as the path {text.removeprefix('file:')}")
    return text.removeprefix("file:")


def expected_path(args: argparse.Namespace) -> str | None:
    """Return the path that the input must be bound to; None, with a notice, if any will do."""
    if args.any_path:
        notice("the stored path is not checked (--any-path): a file moved here from elsewhere would pass")
        return None
    return str(args.input) if args.path is None else manifest_path(args.path)


def opening_key(key_file: Path) -> Secret:
    """Return the key that a file is opened with; a weak one opens too, loudly: its owner has to get away from it."""
    key = sealing.read_wrap_key(key_file)
    try:
        sealing.check_wrap_key(key)
    except sealing.WeakKey as weak:
        notice(f"{weak.sentence}: anyone can read what is sealed with it; {weak.fix} [{weak.code}]")
    return key


def notice(sentence: str) -> None:
    """Say something beside the result, on standard error."""
    sys.stderr.write(f"strongroom: notice: {sentence}\n")


def refuse_key_as_output(output: Path, key: Path | None) -> None:
    """Raise `KeyInTheWay` if the output would replace the key file."""
    if key is not None and output.exists() and key.exists() and output.samefile(key):
        raise KeyInTheWay(f"the output {output} is the key file")


@contextmanager
def progress_bar(what: str, source: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show progress on standard error while a long file is worked on, if somebody watches."""
    path = Path(source)
    if not sys.stderr.isatty() or not path.is_file() or path.stat().st_size < LONG_BYTES:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=path.stat().st_size)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def describe(summary: sealing.Summary) -> str:
    """Return path, size and version of a sealed file as part of a sentence."""
    return f"path {shown(summary.stored_path)}, {summary.size} bytes, format v{summary.version}"


def shown(path: str) -> str:
    """Return a path quoted, with nothing in it that a terminal would obey."""
    return printable(to_bytes(path))


def print_result(args: argparse.Namespace, summary: sealing.Summary, sentence: str, **more: str) -> None:
    """Print what a verb did: one JSON object, or a sentence and the pin. Warn of a write that was cut off."""
    if summary.pending_write:
        notice("the file's last write was cut off (pending flag); a Gramine mount with enable_recovery can finish it")
    if args.json:
        words = {"path": summary.stored_path, "size": summary.size, "version": summary.version,
                 "pin": summary.pin.hex(), "pending_write": summary.pending_write, **more}  # fmt: skip
        sys.stdout.write(json.dumps(words) + "\n")
    else:
        sys.stdout.write(f"{sentence}\n  pin {summary.pin.hex()}\n")
