"""Write a DataFrame as a data set: all of it, with its manifest, or nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from strongroom.analytics.context.access import Access
from strongroom.analytics.context.modes import mode_for
from strongroom.analytics.context.reading import BadContextOption, option_text
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet.jvm import JvmFolder, writing_options
from strongroom.analytics.parquet.pinned import PinnedWriter
from strongroom.analytics.sealing.commit import DataSetThere
from strongroom.analytics.session import events
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import CryptoMode, check_key_name

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameWriter

_MODES: Final = ("overwrite", "append", "ignore", "error", "errorifexists")


class Sized(Protocol):
    """A folder that says which data files are in it."""

    def sizes(self) -> dict[str, int]:
        """Return path -> bytes."""


class Writer:
    """What StrongroomContext.write returns: mode and options as Spark's writer has them, then a kind of file."""

    def __init__(self, access: Access, df: DataFrame, mode: CryptoMode, key: str) -> None:
        self._access, self._df, self._crypto, self._key = access, df, mode, key
        self._mode = "error"
        self._options: dict[str, str] = {}
        self._partitions: tuple[str, ...] = ()
        self._columns: dict[str, list[str]] = {}

    def mode(self, value: str) -> Writer:
        """Say what becomes of data that is there. Raises BadContextOption."""
        if value.lower() not in _MODES:
            raise BadContextOption(f"mode is one of {', '.join(_MODES)}, not {value[:40]!r}")
        self._mode = value.lower()
        return self

    def option(self, key: str, value: object) -> Writer:
        """Set an option: Spark's, or name of the data set."""
        self._options[key] = option_text(value)
        return self

    def options(self, **values: object) -> Writer:
        """Set options."""
        for key, value in values.items():
            self.option(key, value)
        return self

    def partition_by(self, *columns: str) -> Writer:
        """Write a folder for each value of these columns, which the folders' names show to everybody."""
        self._partitions = columns
        return self

    def column_key(self, name: str, *columns: str) -> Writer:
        """Put columns under a primary key of their own (Parquet's own encryption). Raises BadKeyName."""
        self._columns.setdefault(check_key_name(name), []).extend(columns)
        return self

    def csv(self, path: str) -> None:
        """Write CSV files. Raises BadCryptoMode, KeyNotGranted; what is wrong with the folder is Spark's error."""
        self._write(path, Kind.CSV)

    def json(self, path: str) -> None:
        """Write files of JSON lines. Raises as csv."""
        self._write(path, Kind.JSON)

    def text(self, path: str) -> None:
        """Write the only column as lines. Raises as csv."""
        self._write(path, Kind.TEXT)

    def parquet(self, path: str) -> None:
        """Write Parquet files: by their own encryption in the JVM, or sealed in Python.

        Raises BadCryptoMode, KeyNotGranted, DataSetThere, and as PinnedWriter.
        """
        self._write(path, Kind.PARQUET)

    def _write(self, path: str, kind: Kind) -> None:
        mode = mode_for(self._crypto, kind)
        if self._columns and mode in (CryptoMode.PLAIN_TEXT, CryptoMode.SEALED):
            raise BadContextOption(f"columns have keys of their own in Parquet's own encryption, not under {mode}")
        if mode is CryptoMode.PLAIN_TEXT:
            getattr(self._spark_writer(self._options).mode(self._mode), kind)(path)
            return
        if not self._key:
            raise KeyNotGranted("encrypted data is written under a primary key, and none is named")
        if mode is CryptoMode.SEALED:
            self._sealed(path, kind)
        else:
            self._pinned(path, mode)

    def _sealed(self, path: str, kind: Kind) -> None:
        from strongroom.analytics.source.places import folder_of

        if self._left_alone(folder_of(path), path):
            return
        options = self._options | {"kind": str(kind)} | self._access.sealed_options(self._key)
        mode = "overwrite" if self._mode == "overwrite" else "append"  # Spark lets formats in Python have no other
        self._spark_writer(options).format("sealed").mode(mode).save(path)

    def _pinned(self, path: str, mode: CryptoMode) -> None:
        folder = JvmFolder(self._access.spark, path)
        if self._left_alone(folder, path):
            return
        keys = self._access.keys
        options = {key: value for key, value in self._options.items() if key != "name"}
        options |= writing_options(keys, self._key, mode, self._columns, self._access.socket)
        name, append = self._options.get("name", ""), self._mode == "append"
        with PinnedWriter(folder, keys, key=self._key, append=append, name=name) as writer:
            self._spark_writer(options).mode("error").parquet(f"{folder.address()}/{writer.staging}")
            written = writer.commit(now=datetime.now(UTC), schema=self._df.schema.toDDL())
        events.data_set_written(written, folder.address())

    def _left_alone(self, folder: Sized, path: str) -> bool:
        """Whether nothing is to be written since data is there. Raises DataSetThere."""
        if self._mode in ("overwrite", "append") or not folder.sizes():
            return False
        if self._mode == "ignore":
            return True
        raise DataSetThere(f"there is data in {path[:200]}")

    def _spark_writer(self, options: dict[str, str]) -> DataFrameWriter:
        writer = self._df.write.options(**options)
        return writer.partitionBy(*self._partitions) if self._partitions else writer
