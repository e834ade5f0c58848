"""Read a data set as a DataFrame, once it has been checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from strongroom.analytics.context.access import Access
from strongroom.analytics.context.alike import plain_sizes
from strongroom.analytics.context.in_jvm import address_for, scan_of
from strongroom.analytics.context.in_memory import open_data_set
from strongroom.analytics.context.modes import mode_for
from strongroom.analytics.parquet.jvm import JvmFolder, reading_options
from strongroom.analytics.parquet.pinned import Wanted, open_pinned
from strongroom.analytics.sealing.read import check_named
from strongroom.analytics.session import events
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import CryptoMode
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader
    from pyspark.sql.types import StructType

# Spark's own: names are names, whatever is in them, and no file is left out because it cannot be read.
_EXACT: Final = {"__globPaths__": "false", "ignoreCorruptFiles": "false", "ignoreMissingFiles": "false"}
_OURS: Final = ("name", "min_generation")


class BadContextOption(BadInput):
    """An option of a context's reader or writer has no such value."""

    code = "SR-CONTEXT-OPTION"
    fix = "Give name (the data set's) and min_generation (a number); all other options are Spark's."


class Reader:
    """What StrongroomContext.read returns: schema and options as Spark's reader has them, then a kind of file."""

    def __init__(self, access: Access, mode: CryptoMode, key: str) -> None:
        self._access, self._mode, self._key = access, mode, key
        self._schema: StructType | str | None = None
        self._options: dict[str, str] = {}

    def schema(self, value: StructType | str) -> Reader:
        """Read by this schema."""
        self._schema = value
        return self

    def option(self, key: str, value: object) -> Reader:
        """Set an option: Spark's, or name and min_generation of the data set."""
        self._options[key] = option_text(value)
        return self

    def options(self, **values: object) -> Reader:
        """Set options."""
        for key, value in values.items():
            self.option(key, value)
        return self

    def csv(self, path: str) -> DataFrame:
        """Read CSV files. Raises BadCryptoMode; what is wrong with the data is raised here or by Spark's tasks."""
        return self._read(path, Kind.CSV)

    def json(self, path: str) -> DataFrame:
        """Read files of JSON lines. Raises as csv."""
        return self._read(path, Kind.JSON)

    def text(self, path: str) -> DataFrame:
        """Read lines. Raises as csv."""
        return self._read(path, Kind.TEXT)

    def parquet(self, path: str) -> DataFrame:
        """Read Parquet files: their own encryption in the JVM, sealed ones by Spark's own reader or Python's workers.

        Spark reads sealed ones where their columns are plain, no schema and no other options than name and
        min_generation were given: from copies in memory, opened here and now, whole, where the driver runs the tasks
        and the session's memory has room (`in_memory`), else block by block in its JVMs (`in_jvm`).

        Raises BadCryptoMode, and for Parquet's own encryption what open_pinned raises, before anything is read; for
        sealed files that Spark reads the same, and what is wrong with the bytes that are looked at.
        """
        return self._read(path, Kind.PARQUET)

    def _read(self, path: str, kind: Kind) -> DataFrame:
        mode = mode_for(self._mode, kind)
        if mode is CryptoMode.SEALED:
            return self._sealed(path, kind)
        if mode is CryptoMode.PLAIN_TEXT:
            found: DataFrame = getattr(self._spark_reader(self._options), kind)(path)
            return found
        return self._pinned(path)

    def _sealed(self, path: str, kind: Kind) -> DataFrame:
        from strongroom.analytics.source.numbers import with_decimals  # an extra: not before it is used

        found = self._by_sparks_reader(path) if kind is Kind.PARQUET else None
        if found is not None:
            return found
        exact = self._schema is not None or any(name.lower() == "pushdown" for name in self._options)
        faster = {} if exact else {"decimals": "numbers"}
        options = faster | self._options | {"kind": str(kind)} | self._access.sealed_options(self._key)
        return with_decimals(self._spark_reader(options).format("sealed").load(path))

    def _by_sparks_reader(self, path: str) -> DataFrame | None:
        """Read sealed Parquet as Spark reads any; None where it is to be read as format sealed reads it."""
        if self._schema is not None or self._options.keys() - set(_OURS):
            return None
        spark, copies = self._access.spark, self._access.copies
        address = address_for(spark, path)
        if address is None and copies.folder is None:
            return None
        with open_data_set(path, self._access.keys, min_generation=_generation(self._options)) as found:
            check_named(found.manifest, key=self._key, name=self._options.get("name", ""))
            sizes = plain_sizes(found)
            if sizes is None:
                return None
            scan = copies.of(found)
            if scan is None and address is not None:
                scan = scan_of(address, found, sizes, socket=self._access.socket)
            if scan is None:
                return None
            events.data_set_read(found.manifest, str(found.folder))
            schema = found.schema
        options = {**scan.options, **_EXACT, "datetimeRebaseMode": "CORRECTED"}
        return spark.read.options(**options).schema(schema).parquet(*scan.paths)

    def _pinned(self, path: str) -> DataFrame:
        wanted = Wanted(self._key, self._options.get("name", ""), _generation(self._options))
        folder = JvmFolder(self._access.spark, path)
        found = open_pinned(folder, self._access.keys, wanted)
        address = folder.address()
        events.data_set_read(found.manifest, address)
        options = {name: value for name, value in self._options.items() if name not in _OURS}
        options |= reading_options(self._access.socket) | _EXACT | {"basePath": address}
        if self._schema is None and found.schema:
            self._schema = found.schema
        elif self._schema is None:
            options.setdefault("mergeSchema", "true")
        return self._spark_reader(options).parquet(*(f"{address}/{each}" for each in found.paths))

    def _spark_reader(self, options: dict[str, str]) -> DataFrameReader:
        reader = self._access.spark.read.options(**options)
        return reader if self._schema is None else reader.schema(self._schema)


def option_text(value: object) -> str:
    """Return an option's value as Spark has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _generation(options: dict[str, str]) -> int:
    text = options.get("min_generation", "0")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise BadContextOption(f"min_generation is a number, not {text[:40]!r}")
    return int(text)
