"""Sealed Parquet for Spark's own reader: its executors decrypt, in their JVM, the blocks that a query reads.

The driver has checked manifest, list of files and schema; executors get names, sizes, pins and the wrapped data key,
which each has unwrapped by its own key agent (strongroom/sealed/SealedFileSystem.java). No key travels.

World: the driver's JVM, which is asked for classes alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from strongroom.analytics.context.alike import Scan
from strongroom.analytics.parquet.jvm import agent_options
from strongroom.analytics.sealing.read import OpenDataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEME: Final = "sealed"
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HADOOPS: Final = {"s3": "s3a", "s3n": "s3a", "gcs": "gs"}  # what its file system is called there
_NOT_PLAIN: Final = frozenset("%?#")  # read one way in Arrow's addresses, another way in Hadoop's
_ON_ONE_HOST: Final = "local-cluster["


def address_for(spark: SparkSession, place: str) -> str | None:
    """Return where a session's JVMs find a place that `folder_of` takes; None where they do not, or have no jar."""
    address = hadoop_address(place)
    return address if address is not None and _has_classes(spark) and _reaches(spark, address) else None


def scan_of(address: str, found: OpenDataset, sizes: Mapping[str, int], *, socket: str = "") -> Scan:
    """Return how Spark reads a data set that was checked.

    `address`: `address_for`, `sizes`: path -> bytes in clear, `socket`: an agent's other than the session's.
    """
    manifest = found.manifest
    name = f"{manifest.name}.{manifest.generation}.{manifest.mac.hex()[:16]}"
    files = (f"{each.size} {sizes[each.path]} {each.pin.hex()} {each.path}" for each in found.files)
    options = {
        f"fs.{SCHEME}.impl": "strongroom.sealed.SealedFileSystem",
        f"fs.{SCHEME}.impl.disable.cache": "true",  # each reader has its own
        "strongroom.sealed.name": name,
        "strongroom.sealed.address": address,
        "strongroom.sealed.files": "\n".join(files),
        "strongroom.sealed.keyid": str(manifest.key_id),
        "strongroom.sealed.wrapped": manifest.wrapped_data_key,
        "recursiveFileLookup": "true",  # names of folders are no columns
    }
    return Scan((f"{SCHEME}://{name}/",), options | agent_options(socket))


def _has_classes(spark: SparkSession) -> bool:
    """Whether driver and executors have our jar: attested executors do, those of Spark's own small cluster if told."""
    jvm: Any = spark._jvm  # noqa: SLF001  # PySpark has no other way to the JVM
    conf = spark.sparkContext.getConf()
    told = conf.get("spark.executor.extraClassPath") or conf.get("spark.jars")
    if (spark.sparkContext.master or "").startswith(_ON_ONE_HOST) and not told:
        return False
    return type(jvm.strongroom.sealed.SealedFileSystem).__name__ == "JavaClass"


def _reaches(spark: SparkSession, address: str) -> bool:
    """Whether Hadoop has a file system for an address."""
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it has none

    jvm: Any = spark._jvm  # noqa: SLF001  # as above
    scheme = address.partition(":")[0]
    try:
        jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, spark._jsc.hadoopConfiguration())  # noqa: SLF001
    except Py4JJavaError:
        return False
    return True


def hadoop_address(place: str) -> str | None:
    """Return where Hadoop finds what `folder_of` finds, None where that is not certain."""
    match = _ADDRESS.match(place)
    path = str(Path(place).absolute()) if match is None else unquote(urlsplit(place).path)
    if match is None or match[1] == "file":
        return None if ".." in path.split("/") else f"file:{path}"  # Hadoop takes .. away without a look at links
    if _NOT_PLAIN & set(place) or ".." in path.split("/"):
        return None
    return _HADOOPS.get(match[1], match[1]) + place[match.end(1) :]
