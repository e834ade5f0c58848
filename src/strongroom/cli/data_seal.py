"""Seal data for machines you do not trust: files or a folder of them become a sealed data set.

Everything happens here: plain data and keys do not leave this machine, and no network is needed. Every file is sealed
under a fresh data key, bound to its path; a manifest lists them, so that whoever reads the data set notices a file that
was changed, cut, exchanged, added, removed or brought back. OUT is what you hand over: useless without the primary key.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.cli.data_common import facts, headline, keys_arguments, keys_of, progress_bar
from strongroom.cli.option_types import local_path
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.datasets.manifest import Kind

KINDS: Final = {
    ".csv": "csv", ".tsv": "csv", ".tbl": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".txt": "text",
    ".parquet": "parquet",
}  # fmt: skip
COMPRESSED: Final = frozenset({
    ".gz", ".bz2", ".xz", ".zst", ".lz4", ".snappy", ".deflate", ".zip", ".lzma", ".br", ".z",
})  # fmt: skip
# How gzip, zip, Zstandard, xz, LZ4 and bzip2 begin.
MAGIC: Final = re.compile(rb"\x1f\x8b|PK\x03\x04|\x28\xb5\x2f\xfd|\xfd7zXZ|\x04\x22\x4d\x18|BZh[1-9]1AY&SY")
MAGIC_BYTES: Final = 10


class CompressedData(BadInput):
    """Rows were to be sealed that are compressed: nothing unpacks them when they are read."""

    code = "SR-DATA-COMPRESSED"
    fix = "Unpack it first, as with gunzip; or seal it with --kind file: it comes back as it is."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sources", metavar="SRC", type=local_path, nargs="+", help="files, or folders of files")
    parser.add_argument("--key", required=True, metavar="NAME", help="the primary key (strongroom data key NAME)")
    parser.add_argument("--out", required=True, type=local_path, metavar="DIR", help="the data set's folder")
    parser.add_argument("--name", metavar="NAME", help="the data set's name (default: that of its folder)")
    parser.add_argument("--kind", choices=("csv", "json", "text", "parquet", "file"),
                        help="what the files are (default: by their endings)")  # fmt: skip
    parser.add_argument("--schema", metavar="DDL", default="", help="columns and types, kept sealed: 'name string, …'")
    parser.add_argument("--append", action="store_true", help="add files to the data set that is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    keys_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Seal, and print what was made; on any failure nothing is."""
    from strongroom.analytics.sealing.write import DatasetWriter, Mode
    from strongroom.datasets.manifest import Kind

    files = collected(args.sources)
    check_not_compressed((path for path, _ in files), args.kind)
    kind = Kind(args.kind) if args.kind else kind_of(path for path, _ in files)
    if kind is Kind.FILE and not args.kind and any(path.suffix.lower() in KINDS for path, _ in files):
        sys.stderr.write("data seal: the files have several endings, so they are sealed as files of no kind; "
                         "to be read as rows, seal those of one kind (--kind)\n")  # fmt: skip
    mode = Mode.APPEND if args.append else Mode.NEW
    name = args.name or args.out.resolve().name
    with (
        keys_of(args, args.key) as keys,
        DatasetWriter(args.out, keys, name=name, key=args.key, kind=kind, mode=mode) as writer,
        progress_bar("sealing", quiet=args.json) as progress,
    ):
        done, total = 0, sum(path.stat().st_size for path, _ in files)
        for path, stored in files:
            writer.add(path, stored, progress=_shifted(progress, done, total))
            done += path.stat().st_size
        manifest = writer.commit(schema=args.schema)
    if args.json:
        sys.stdout.write(json.dumps(facts(manifest, args.out)) + "\n")
    else:
        sys.stdout.write(
            f"sealed {headline(manifest)}\n  folder   {args.out}\n"
            f"  ask for generation {manifest.generation} or later (min_generation), so that an older copy is refused\n"
        )
    return 0


def collected(sources: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return every file, and its path in the data set. Raises BadDataPath, NotAFile."""
    from strongroom.datasets.paths import check_data_path, is_note
    from strongroom.sealing import NotAFile

    found = []
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.rglob("*") if path.is_file())
            pairs = [(path, path.relative_to(source).as_posix()) for path in inside]
            found += [(path, stored) for path, stored in pairs if not is_note(stored)]
        else:
            found.append((source, source.name))
    if not found:
        raise NotAFile("there is no file to seal", fix="Name files, or a folder that has some.")
    for _, stored in found:
        check_data_path(stored)
    return found


def check_not_compressed(paths: Iterable[Path], kind: str | None) -> None:
    """Raise CompressedData for a compressed file that, by its kind or else by its name, is to be read as rows."""
    for path in paths:
        name = Path(path.stem) if path.suffix.lower() in COMPRESSED else path
        rows = name.suffix.lower() in KINDS if kind is None else kind != "file"
        if rows and (name is not path or _begins_compressed(path)):
            raise CompressedData(f"{path.name} is compressed")


def _begins_compressed(path: Path) -> bool:
    if not path.is_file():  # said by who opens it
        return False
    with path.open("rb") as file:
        return MAGIC.match(file.read(MAGIC_BYTES)) is not None


def kind_of(paths: Iterable[Path]) -> Kind:
    """Return what files are by their endings: of one kind, or just files."""
    from strongroom.datasets.manifest import Kind

    kinds = {KINDS.get(path.suffix.lower(), "file") for path in paths}
    return Kind(kinds.pop()) if len(kinds) == 1 else Kind.FILE


def _shifted(progress: Callable[[int, int], None] | None, before: int, total: int) -> Callable[[int, int], None] | None:
    """Return what counts one file's bytes on top of those of the files before it."""
    if progress is None:
        return None
    return lambda done, _size: progress(before + done, total)
