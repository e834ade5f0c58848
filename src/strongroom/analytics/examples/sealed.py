"""Examples on encrypted data: what a program works on is sealed first, as its owner would, and taken away in clear.

World: the folder of a run, and keys. The program itself does not change: it is told another format, or nothing at all
where Parquet's own encryption does it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom.analytics.examples.entry import Form, Prepared, Sealing
from strongroom.analytics.keys.files import FileKeyService, write_ring
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.analytics.session.places import held_folder
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import Kind
from strongroom.datasets.paths import is_note

KEY: Final = "example"
ROWS_AT_ONCE: Final = 1_000_000  # of a Parquet file, which may be larger than memory
_KINDS: Final = {".csv": Kind.CSV, ".json": Kind.JSON, ".parquet": Kind.PARQUET}


@dataclass(frozen=True, slots=True)
class Encryption:
    """Keys to seal with, the primary key's name, and the words by which spark submit has the same keys."""

    keys: KeyService
    key: str
    words: tuple[str, ...] = ()


@contextmanager
def fresh_keys(memory: Path | None) -> Iterator[Encryption]:
    """Lend a fresh primary key in a file of a private folder, which is gone at the end."""
    with held_folder(memory or Path(tempfile.gettempdir()), "strongroom-example-keys-") as private:
        folder = private / "keys"
        write_ring(folder, KeyRing.fresh(KEY))
        with closing(FileKeyService(folder)) as keys:
            yield Encryption(keys, KEY, ("--keys", f"file:{folder}", "--key", KEY))


def seal(prepared: Prepared, how: Sealing, target: Path, encryption: Encryption, *, own: Path) -> Prepared:
    """Seal what a program's first argument names into `target`, and name that in its place.

    Plain data below `own`, the folder of the run, is removed. Raises what sealing raises.
    """
    source = Path(prepared.arguments[0])
    for part in how.parts:
        _seal_one(source / part, target / part, how.form, encryption)
    if not how.parts:
        _seal_one(source, target, how.form, encryption)
    if source.is_relative_to(own):
        shutil.rmtree(source) if source.is_dir() else source.unlink()
    told = () if how.form is Form.PARQUET else ("--format", "sealed")
    return replace(prepared, arguments=(os.fspath(target), *prepared.arguments[1:], *told))


def _seal_one(source: Path, target: Path, form: Form, encryption: Encryption) -> None:
    files = [source] if source.is_file() else sorted(each for each in source.rglob("*") if each.is_file())
    files = [each for each in files if not is_note(each.name)]
    if form is Form.PARQUET:
        _encrypt_parquet(files, target, encryption)
        return
    kind = _KINDS.get(files[0].suffix, Kind.TEXT)
    keys, key = encryption.keys, encryption.key
    with DatasetWriter(target, keys, name=target.stem, key=key, kind=kind) as writer:
        for file in files:
            writer.add(file, file.name if source.is_file() else file.relative_to(source).as_posix())
        writer.commit()


def _encrypt_parquet(files: list[Path], target: Path, encryption: Encryption) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from strongroom.analytics.parquet.arrow import write_dataset

    there = False
    for file in files:
        with pq.ParquetFile(file) as plain:
            for batch in plain.iter_batches(ROWS_AT_ONCE):
                table = pa.Table.from_batches([batch])
                write_dataset(table, target, encryption.keys, encryption.key, append=there, name=target.stem)
                there = True
