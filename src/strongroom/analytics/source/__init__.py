"""Spark's format "sealed", in Python alone: data sets are opened and sealed in the workers, the manifest by the driver.

from strongroom.analytics.source import register
register(spark)
spark.read.format("sealed").option("columns", "city,age").load("/data/people")
df.write.format("sealed").option("kind", "csv").option("key", "people").mode("append").save("/data/people")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FORMAT = "sealed"


def register(spark: SparkSession) -> None:
    """Make format "sealed" known to a session, whose readers may be given filters; sessions made from it know it."""
    from pyspark.errors import AnalysisException

    from strongroom.analytics.source.sealed import Sealed  # an extra: not before it is used

    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    if _known(spark):  # Spark would warn of a source in the place of another one
        return
    try:
        spark.dataSource.register(Sealed)
    except AnalysisException as refused:  # a new session beside one that knows it
        if refused.getCondition() != "DATA_SOURCE_ALREADY_EXISTS":
            raise


def _known(spark: SparkSession) -> bool:
    session = spark._jsparkSession  # noqa: SLF001  # Python's side has no word for it
    return bool(session.sessionState().dataSourceManager().dataSourceExists(FORMAT))
