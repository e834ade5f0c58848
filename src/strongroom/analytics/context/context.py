"""Spark on encrypted data, for programs: read and write by mode and primary key, everything else is Spark's.

    with StrongroomContext(spark) as context:
        people = context.read("sealed", "people").csv("/data/people")
        context.write(people, "AES_GCM_V1", "people").mode("overwrite").parquet("/data/people.parquet")

World: the session it is given. Keys are asked for by name; there may be several owners' in one program.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from strongroom.analytics.context.in_memory import OpenedCopies, copies_of, one_process
from strongroom.analytics.context.modes import mode_for
from strongroom.analytics.context.reading import Reader
from strongroom.analytics.context.writing import Writer
from strongroom.analytics.keys.opening import AGENT_VARIABLE, default_keys, open_keys
from strongroom.analytics.keys.service import KeyService
from strongroom.datasets.manifest import Kind
from strongroom.datasets.names import CryptoMode, check_key_name

if TYPE_CHECKING:
    from pyspark import RDD
    from pyspark.sql import DataFrame, SparkSession

_AGENT: Final = "agent:"


class StrongroomContext:
    """A Spark session with keys.

    `keys`: agent:SOCKET or file:FOLDER (a test's); without it the agent that this process was started by. Without that
    either, only plain text can be read and written. `in_memory`: whether sealed Parquet may be opened there, whole,
    where the driver runs the tasks; else it is decrypted as on a cluster. Raises BadKeysReference.
    """

    def __init__(self, spark: SparkSession, keys: str | None = None, *, in_memory: bool = True) -> None:
        from strongroom.analytics.source import register

        self.spark: Final = spark
        self._stack: Final = ExitStack()
        try:
            self.socket: Final = self._named_agent(keys)
            register(spark)
        except BaseException:
            self._stack.close()
            raise
        self._keys: KeyService | None = None
        self.copies: Final = copies_of(spark) if in_memory else OpenedCopies(None)

    def read(self, crypto_mode: CryptoMode | str = CryptoMode.SEALED, primary_key_name: str = "") -> Reader:
        """Return a reader. A key that is named has to be the data's. Raises BadCryptoMode, BadKeyName."""
        return Reader(self, CryptoMode.parse(str(crypto_mode)), _name(primary_key_name))

    def write(
        self, df: DataFrame, crypto_mode: CryptoMode | str = CryptoMode.SEALED, primary_key_name: str = ""
    ) -> Writer:
        """Return a writer of a DataFrame. Raises BadCryptoMode, BadKeyName."""
        return Writer(self, df, CryptoMode.parse(str(crypto_mode)), _name(primary_key_name))

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
    def keys(self) -> KeyService:
        """Where keys come from. Raises KeyNotGranted where this process has none."""
        if self._keys is None:
            self._keys = open_keys(f"{_AGENT}{self.socket}") if self.socket else default_keys(os.environ)
            self._stack.callback(self._keys.close)
        return self._keys

    def drop_copies(self) -> None:
        """Free the memory of sealed Parquet that was opened in this session; DataFrames over it can be used no more."""
        self.copies.drop()

    def close(self) -> None:
        """Let go of the keys; the session stays."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _named_agent(self, keys: str | None) -> str:
        """Return the socket to give to workers and to the JVM; empty where the environment tells each its own."""
        if keys is None:
            return "" if os.environ.get(AGENT_VARIABLE) else _session_agent(self.spark)
        if keys.startswith(_AGENT):
            return keys.removeprefix(_AGENT)
        from strongroom.analytics.agent.agent import serving

        service = open_keys(keys)
        self._stack.callback(service.close)
        return os.fspath(self._stack.enter_context(serving(service)).socket)


def _session_agent(spark: SparkSession) -> str:
    from strongroom.sparkjobs.properties import AGENT_SOCKET

    return (spark.sparkContext.getConf().get(AGENT_SOCKET) or "") if one_process(spark) else ""


def _name(name: str) -> str:
    return check_key_name(name) if name else ""


def _first(row: tuple[str, ...]) -> str:
    return row[0]
