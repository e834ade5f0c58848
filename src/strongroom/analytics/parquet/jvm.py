"""Encrypted Parquet in Spark's JVM: its options, and folders on any of Hadoop's file systems through the driver.

World: the driver's JVM, which needs our jar (kms_jar) on its class path, as do its executors.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.parquet.folder import THREADS, LocalFolder
from strongroom.analytics.parquet.pinned import key_ids
from strongroom.analytics.parquet.refusals import parquet_mode
from strongroom.datasets.names import CryptoMode
from strongroom.errors import BadInput, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

FACTORY: Final = "parquet.crypto.factory.class"
KMS_CLASS: Final = "parquet.encryption.kms.client.class"
SOCKET: Final = "strongroom.agent.local"
_BOUND: Final = "strongroom.parquet.BoundCryptoFactory"
_KMS: Final = "strongroom.parquet.StrongroomKmsClient"
_NUL: Final = "\0"


class KmsJarMissing(BadInput):
    """Spark was started without the jar that asks the key agent for Parquet's keys."""

    code = "SR-SPARK-KMS-JAR"
    fix = "Use strongroom spark submit, or give Spark the jar of strongroom spark jar (spark.jars)."


class FolderNotReached(Unreachable):
    """Spark's file system could not do what was asked of a data set's folder."""

    code = "SR-SPARK-FOLDER"
    fix = "Check that the path's file system is up and that this job may read and write there."


def reading_options(socket: str = "") -> dict[str, str]:
    """Return the options for reading encrypted Parquet. `socket`: an agent's other than the session's."""
    # Parquet keeps clients and keys by this name, so that no context gets those of another one.
    named = {"parquet.encryption.key.access.token": socket} if socket else {}
    return {FACTORY: _BOUND, KMS_CLASS: _KMS} | agent_options(socket) | named


def agent_options(socket: str) -> dict[str, str]:
    """Return the option that names an agent other than the session's, if any."""
    return {SOCKET: socket} if socket else {}


def writing_options(
    keys: KeyService, key: str, mode: CryptoMode, columns: Mapping[str, Sequence[str]], socket: str = ""
) -> dict[str, str]:
    """Return the options for writing: everything under `key`, but for columns under other primary keys.

    `columns`: primary key -> columns. Raises BadCryptoMode, KeyNotGranted.
    """
    footer, others = key_ids(keys, key, {name: list(each) for name, each in columns.items()})
    found = reading_options(socket) | {"parquet.encryption.algorithm": str(parquet_mode(mode))}
    if not others:
        return found | {"parquet.encryption.uniform.key": str(footer)}
    named = ";".join(f"{key_id}:{','.join(names)}" for key_id, names in others.items())
    return found | {
        "parquet.encryption.footer.key": str(footer),
        "parquet.encryption.column.keys": named,
        "parquet.encryption.complete.columns": "true",
    }


class JvmFolder:
    """A ParquetFolder on any of Hadoop's file systems. Raises KmsJarMissing, FolderNotReached."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        jvm: Any = spark._jvm  # noqa: SLF001  # PySpark has no other way to the JVM
        made: Any = jvm.strongroom.parquet.DataFolder
        if type(made).__name__ != "JavaClass":
            raise KmsJarMissing("this Spark session has no class strongroom.parquet.DataFolder")
        configuration = spark._jsc.hadoopConfiguration()  # noqa: SLF001  # as above
        with _reached(path):
            self._folder: Final = made(configuration, path)
            self._address: Final[str] = self._folder.address()

    def __str__(self) -> str:
        return self._address

    def address(self) -> str:
        """Return the folder's address with its scheme."""
        return self._address

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return path -> bytes of the files in it, or in a folder of it; nothing where there is no folder."""
        with _reached(self._address):
            rows = _split(self._folder.list(below))
        return {path: int(size) for size, _, path in (row.partition(" ") for row in rows)}

    def digests(self, paths: Sequence[str]) -> list[bytes]:
        """Return the SHA-256 of files, several at a time, hashed in the JVM."""
        with _reached(self._address):
            return [base64.b64decode(each) for each in _split(self._folder.digests(_NUL.join(paths), THREADS))]

    def read(self, path: str, *, limit: int) -> bytes:
        """Return a file's content. Raises FileNotFoundError."""
        with _reached(self._address):
            content: str | None = self._folder.read(path, limit)
        if content is None:
            raise FileNotFoundError(f"{self._address}/{path} is not there")
        return base64.b64decode(content)

    def replace(self, path: str, data: bytes) -> None:
        """Write a file in one step where the file system can, in two where it cannot."""
        with _reached(self._address):
            self._folder.replace(path, f"_{path.lstrip('_')}.partial", base64.b64encode(data).decode())

    def take(self, below: str, paths: Sequence[str]) -> None:
        """Move files from a folder in it to the same paths in itself."""
        with _reached(self._address):
            self._folder.take(below, _NUL.join(paths))

    def sync(self, paths: Sequence[str]) -> None:
        """Make files of this machine durable; what other file systems have closed is so, as far as they know."""
        if self._local is not None:
            self._local.sync(paths)

    def remove(self, *paths: str) -> None:
        """Remove files, and folders with all below them; what is not there counts as removed."""
        with _reached(self._address):
            self._folder.remove(_NUL.join(paths))

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold off others of this machine; on other file systems, a commit finds another one's by its generation."""
        return nullcontext() if self._local is None else self._local.exclusive()

    @property
    def _local(self) -> LocalFolder | None:
        scheme, _, path = self._address.partition(":")  # Hadoop's addresses are not percent-encoded
        return LocalFolder(f"/{path.lstrip('/')}") if scheme == "file" else None


def _split(joined: str) -> list[str]:
    return joined.split(_NUL) if joined else []


@contextmanager
def _reached(address: str) -> Iterator[None]:
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it has none

    try:
        yield
    except Py4JJavaError as problem:
        said = str(problem.java_exception.getMessage())[:300]
        raise FolderNotReached(f"{address[:200]}: {said}") from None
