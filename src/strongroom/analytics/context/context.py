"""Spark on encrypted data, for programs: read and write by mode and primary key, everything else is Spark's.

    with StrongroomContext(spark) as context:
        people = context.read("sealed", "people").csv("/data/people")
        context.write(people, "AES_GCM_V1", "people").mode("overwrite").parquet("/data/people.parquet")

World: the session it is given. Keys are asked for by name; there may be several owners' in one program.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from strongroom.analytics.context.access import Access
from strongroom.analytics.context.modes import mode_for
from strongroom.analytics.context.reading import Reader
from strongroom.analytics.context.writing import Writer
from strongroom.analytics.keys.service import KeyService
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import CryptoMode, check_key_name

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import DataFrame, SparkSession


class StrongroomContext:
    """A Spark session with keys.

    `keys`: agent:SOCKET or file:FOLDER (a test's); without it the agent that this process was started by. Without that
    either, only plain text can be read and written. `in_memory`: whether sealed Parquet may be opened there, whole,
    where the driver runs the tasks; else it is decrypted as on a cluster. Raises BadKeysReference.
    """

    def __init__(self, spark: SparkSession, keys: str | None = None, *, in_memory: bool = True) -> None:
        self.spark: Final = spark
        self._stack: Final = ExitStack()
        self._access: Final = self._stack.enter_context(closing(Access(spark, keys, in_memory=in_memory)))

    def read(self, crypto_mode: CryptoMode | str = CryptoMode.SEALED, primary_key_name: str = "") -> Reader:
        """Return a reader. A key that is named has to be the data's. Raises BadCryptoMode, BadKeyName."""
        return Reader(self._access, CryptoMode.parse(str(crypto_mode)), _name(primary_key_name))

    def write(
        self, df: DataFrame, crypto_mode: CryptoMode | str = CryptoMode.SEALED, primary_key_name: str = ""
    ) -> Writer:
        """Return a writer of a DataFrame. Raises BadCryptoMode, BadKeyName."""
        return Writer(self._access, df, CryptoMode.parse(str(crypto_mode)), _name(primary_key_name))

    def textfile(
        self, path: str, min_partitions: int | None = None, crypto_mode: CryptoMode | str = CryptoMode.PLAIN_TEXT,
        primary_key_name: str = "",
    ) -> RDD[str]:  # fmt: skip
        """Return the lines of text files. Raises what reading text raises."""
        mode = mode_for(crypto_mode, Kind.TEXT)
        if mode is CryptoMode.PLAIN_TEXT:
            return self.spark.sparkContext.textFile(path, min_partitions)
        lines = self.read(mode, primary_key_name).text(path).rdd.map(_first)
        return lines if min_partitions is None else lines.repartition(min_partitions)

    def sql(self, text: str) -> DataFrame:
        """Return what a query gives."""
        return self.spark.sql(text)

    @property
    def socket(self) -> str:
        """The agent's, for workers and the JVM; empty where the environment tells each its own."""
        return self._access.socket

    @property
    def keys(self) -> KeyService:
        """Where keys come from. Raises KeyNotGranted where this process has none."""
        return self._access.keys

    def drop_copies(self) -> None:
        """Free the memory of sealed Parquet that was opened in this session; DataFrames over it can be used no more."""
        self._access.copies.drop()

    def close(self) -> None:
        """Let go of the keys; the session stays."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _name(name: str) -> str:
    return check_key_name(name) if name else ""


def _first(row: tuple[str, ...]) -> str:
    return row[0]
