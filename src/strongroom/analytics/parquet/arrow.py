"""Encrypted Parquet by pyarrow, without Spark and Java: the same keys, the same files, the same manifest.

World: files. Keys come from a KeyService; a file names them as NAME.VERSION.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import RawIOBase
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.parquet.folder import LocalFolder
from strongroom.analytics.parquet.pinned import ANYTHING, PinnedWriter, Wanted, key_ids, open_pinned
from strongroom.analytics.parquet.refusals import ParquetNotOpened, parquet_mode
from strongroom.analytics.sealing.read import open_pinned_file
from strongroom.datasets.manifest import Manifest
from strongroom.datasets.names import CryptoMode, KeyId
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

DATA_KEY_BITS: Final = 128
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"  # Spark's folder for nulls
UNBOUND: Final = "arrow-"  # names of files without an AAD prefix: pyarrow offers none (BoundCryptoFactory.java)
ENCRYPTED: Final = b"PARE"  # the magic of files with encrypted footers


class ServiceKms(pe.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """What pyarrow asks for keys."""

    def __init__(self, keys: KeyService) -> None:
        super().__init__()
        self._keys = keys

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        """Return a key wrapped. Raises what the KeyService raises."""
        return self._keys.wrap(KeyId.parse(_text(master_key_identifier)), Secret(key_bytes))

    def unwrap_key(self, wrapped_key: str | bytes, master_key_identifier: str) -> bytes:
        """Return the key of a wrapped one. Raises what the KeyService raises."""
        key = self._keys.unwrap(KeyId.parse(_text(master_key_identifier)), _text(wrapped_key))
        with key.reveal() as raw:
            return raw


def encryption(
    keys: KeyService, key: str, *, mode: CryptoMode = CryptoMode.AES_GCM_V1,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> pq.FileEncryptionProperties:  # fmt: skip
    """Return pyarrow's properties for one new file: all of it under `key`, or some columns under others.

    `columns`: primary key -> columns. Raises BadCryptoMode, KeyNotGranted.
    """
    parquet_mode(mode)
    footer, others = key_ids(keys, key, {name: list(each) for name, each in (columns or {}).items()})
    settings = pe.EncryptionConfiguration(
        footer_key=str(footer), encryption_algorithm=str(mode), double_wrapping=True, internal_key_material=True,
        data_key_length_bits=DATA_KEY_BITS,
    )  # fmt: skip
    if others:
        settings.column_keys = {str(key_id): names for key_id, names in others.items()}
    else:
        settings.uniform_encryption = True
    return _factory(keys).file_encryption_properties(pe.KmsConnectionConfig(), settings)


def decryption(keys: KeyService) -> pq.FileDecryptionProperties:
    """Return pyarrow's properties for reading one file."""
    return _factory(keys).file_decryption_properties(pe.KmsConnectionConfig())


def _factory(keys: KeyService) -> pe.CryptoFactory:
    return pe.CryptoFactory(lambda _config: ServiceKms(keys))


def write_file(
    table: pa.Table, path: str | os.PathLike[str], keys: KeyService, key: str, *,
    mode: CryptoMode = CryptoMode.AES_GCM_V1, columns: Mapping[str, Sequence[str]] | None = None,
) -> None:  # fmt: skip
    """Write one encrypted file, over what is there. Raises BadCryptoMode, KeyNotGranted."""
    covered = _all_columns(table, key, columns)
    pq.write_table(
        table, path, encryption_properties=encryption(keys, key, mode=mode, columns=covered),
        store_decimal_as_integer=True,  # as Spark does: read four times as fast
    )  # fmt: skip


def _all_columns(
    table: pa.Table, key: str, columns: Mapping[str, Sequence[str]] | None
) -> dict[str, list[str]]:  # fmt: skip
    """Return all columns under some key: pyarrow leaves those in clear that no key is named for."""
    if not columns:
        return {}
    found = {name: list(each) for name, each in columns.items()}
    named = {column for each in found.values() for column in each}
    rest = [name for name in table.schema.names if name not in named]
    if rest:
        found[key] = [*found.get(key, []), *rest]
    return found


def read_file(path: str | os.PathLike[str], keys: KeyService, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a file's rows. Raises ParquetNotOpened for changed bytes, and what the KeyService raises."""
    with pa.OSFile(os.fspath(path)) as file:
        return _rows(file, os.fspath(path), keys, columns)


def _rows(file: pa.NativeFile | RawIOBase, name: str, keys: KeyService, columns: Sequence[str] | None) -> pa.Table:
    if file.read(len(ENCRYPTED)) != ENCRYPTED:  # pyarrow would read a file in clear, which anybody can write
        raise ParquetNotOpened(f"{name} is no Parquet file with an encrypted footer")
    file.seek(0)
    try:
        with pq.ParquetFile(file, decryption_properties=decryption(keys), pre_buffer=False) as opened:
            names = opened.schema_arrow.names
            wanted = None if columns is None else [each for each in columns if each in names]
            # In this thread, and nothing read ahead: where a thread of Arrow's is the last to drop bytes that are
            # Python's while the interpreter ends, it takes the process down.
            return opened.read(columns=wanted, use_threads=False)
    except StrongroomError:
        raise
    except (OSError, pa.ArrowException) as problem:
        raise ParquetNotOpened(f"{name} does not open: {_first_line(problem)}") from None


def write_dataset(
    table: pa.Table, folder: str | os.PathLike[str], keys: KeyService, key: str, *,
    mode: CryptoMode = CryptoMode.AES_GCM_V1, columns: Mapping[str, Sequence[str]] | None = None,
    append: bool = False, name: str = "",
) -> Manifest:  # fmt: skip
    """Write a data set of one file more, with its manifest. Raises as PinnedWriter; nothing is left then."""
    with PinnedWriter(LocalFolder(folder), keys, key=key, append=append, name=name) as writer:
        waiting = Path(folder) / writer.staging
        waiting.mkdir(parents=True)
        path = f"{UNBOUND}{writer.staging.rpartition('-')[2]}.parquet"
        write_file(table, waiting / path, keys, key, mode=mode, columns=columns)
        return writer.commit(now=datetime.now(UTC))


def read_dataset(
    folder: str | os.PathLike[str], keys: KeyService, columns: Sequence[str] | None = None, wanted: Wanted = ANYTHING
) -> pa.Table:  # fmt: skip
    """Return the rows of a data set that is whole. Raises what open_pinned raises, and ParquetNotOpened.

    Each byte that is read counts only if it is what was committed, also where somebody changes files meanwhile.
    """
    place, tables = LocalFolder(folder), []
    for entry in open_pinned(place, keys, wanted).manifest.files:
        with open_pinned_file(place, entry) as file:
            tables.append(_with_partition(_rows(file, entry.path, keys, columns), entry.path, columns))
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _with_partition(table: pa.Table, path: str, columns: Sequence[str] | None) -> pa.Table:
    """Return a table with the columns that are in the folders' names (day=1/…), as texts."""
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals and (columns is None or unquote(name) in columns):
            cell = None if value == NO_VALUE else unquote(value)
            table = table.append_column(unquote(name), pa.array([cell] * len(table), pa.string()))
    return table


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _first_line(problem: BaseException) -> str:
    return str(problem).strip().partition("\n")[0][:300]
