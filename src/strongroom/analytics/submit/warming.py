"""Make the file of `class_archive`: run a small job of what most jobs use, and have the JVM keep its classes.

World: one session of this process, without keys; the file appears in the cache at once, when it is whole.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.notices import quiet_pandas
from strongroom.analytics.submit import class_archive, gateway
from strongroom.analytics.submit.preparing import Wanted, own_jar, prepare
from strongroom.analytics.submit.session import surrounded_by
from strongroom.errors import Unreachable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MADE: Final = ".warm-up-"
_STALE_S: Final = 3600
_END_S: Final = 300  # it writes some 190 MB
_SETTINGS: Final = {
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


class NotWarmed(Unreachable):
    """The JVM did not write its classes."""

    code = "SR-SPARK-WARM-UP"
    fix = "Read what Java said above; OpenJDK 17 or newer is needed. Jobs run without that file, and start slower."


def warm_up(environ: Mapping[str, str], *, say: Callable[[str], object], again: bool = False) -> tuple[Path, bool]:
    """Return the file, and whether it was made now; `again`: also where there is one for this Java and these jars.

    Raises NotWarmed, DriverNotStarted, NoCommand, and what `prepare` raises.
    """
    wanted, origin = class_archive.place(environ), class_archive.origin_of(environ, own_jar())
    if class_archive.is_whole(wanted, origin) and not again:
        return wanted, False
    sweep(wanted.parent)
    folder = SessionFolder.create()
    try:
        prepared = prepare(folder, Wanted(app_name="warm-up", settings=_SETTINGS, master="local[2]", ui=False), environ)
        with tempfile.TemporaryDirectory(prefix=_MADE, dir=wanted.parent) as made:
            archive = Path(made) / wanted.name
            say("starting Spark")
            launched = gateway.launch(folder, prepared.environ, keep_classes_in=archive)
            try:
                say("running a job of what most jobs use")
                with surrounded_by(prepared.environ):
                    _work(launched, folder)
                say("keeping its classes")
                status = _end(launched)
            except BaseException:
                launched.proc.kill()
                launched.proc.wait()
                raise
            if status or not archive.is_file():
                raise NotWarmed(f"the JVM ended with {status} and left no classes")
            class_archive.keep(archive, wanted, origin)
    finally:
        folder.remove()
    return wanted, True


def sweep(cache: Path) -> None:
    """Remove what runs that were killed left there."""
    for left in cache.glob(f"{_MADE}*"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _end(launched: Any) -> int:  # noqa: ANN401  # py4j has no types
    launched.shutdown()
    launched.proc.stdin.close()
    try:
        return int(launched.proc.wait(_END_S))
    except subprocess.TimeoutExpired:
        raise NotWarmed(f"the JVM did not end within {_END_S} seconds") from None


def _work(launched: Any, folder: SessionFolder) -> None:  # noqa: ANN401  # as above
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    quiet_pandas()
    try:
        context = SparkContext(gateway=launched)
        try:
            _queries(SparkSession(context), folder)
        finally:
            context.stop()
    except Exception as problem:  # noqa: BLE001  # py4j raises what it likes, and asks the JVM for its text
        raise NotWarmed(f"its job failed: {problem}") from None
    finally:
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001  # the next session has a JVM of its own


def _queries(spark: SparkSession, folder: SessionFolder) -> None:
    rows = spark.createDataFrame(
        [(each, f"name {each}", each / 7) for each in range(100)], "id long, name string, x double"
    )
    for kind in ("parquet", "csv", "json"):
        place = f"file:{folder.temporary}/{kind}"
        rows.write.format(kind).save(place)
        read = spark.read.format(kind).schema(rows.schema).load(place)
        read.createOrReplaceTempView(kind)
    named = spark.table("parquet").join(spark.table("csv"), ["id", "name", "x"])
    named.createOrReplaceTempView("named")
    query = "select id % 7 a, count(*) n, avg(x) m from named group by a having n > 1 order by m"
    spark.sql(query).collect()
    rows.mapInArrow(lambda batches: batches, rows.schema).toPandas()
    pairs = spark.sparkContext.parallelize(range(100), 2).map(lambda each: (each % 3, each))
    pairs.reduceByKey(lambda one, other: one + other).collect()
