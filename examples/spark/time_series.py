"""Prepare a half-hourly series for learning: read, spread over two partitions, add when people are awake.

usage: time_series.py DATA [--format csv|sealed]

DATA has columns timestamp and value, such as the taxi rides of New York, and a header.
"""

import argparse
from collections.abc import Iterator

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import spark_partition_id

AWAKE_FROM_HOUR, AWAKE_TO_HOUR = 6, 23  # and the hour after midnight


def with_features(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Add the time as a time, its hour, and whether people are awake then."""
    for frame in frames:
        frame["datetime"] = pd.to_datetime(frame["timestamp"])
        frame["hours"] = frame["datetime"].dt.hour.astype("int32")
        awake = frame["hours"].between(AWAKE_FROM_HOUR, AWAKE_TO_HOUR) | (frame["hours"] == 0)
        frame["awake"] = awake.astype("int32")
        yield frame


def collected(rows: DataFrame) -> list[pd.DataFrame]:
    """Return one pandas frame for each partition that has rows, in the order of time."""
    frame = rows.withColumn("partition", spark_partition_id()).toPandas().sort_values("timestamp")
    return [part.drop(columns="partition").reset_index(drop=True) for _, part in frame.groupby("partition")]


parser = argparse.ArgumentParser(description="Prepare a half-hourly series for learning.")
parser.add_argument("data")
parser.add_argument("--format", default="csv")
args = parser.parse_args()

spark = SparkSession.builder.appName("Time series").getOrCreate()
rows = spark.read.format(args.format).schema("timestamp string, value long").options(header=True)
series = rows.load(args.data)
print("INFO data collected:", collected(series.coalesce(1)))
features = series.repartition(2).mapInPandas(
    with_features, "timestamp string, value long, datetime timestamp, hours int, awake int"
)
parts = collected(features)
print("INFO data2 collected:", parts)
print("rows:", series.count(), "rows with features:", sum(len(part) for part in parts))
print("Stopping orca context")  # the guide's last line; the context is Spark's own
spark.stop()
