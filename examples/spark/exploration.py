"""Look into a half-hourly series: what is missing, its days and hours, what is unusual.

usage: exploration.py DATA [--format csv|sealed]   (columns timestamp and value, with a header)
"""

import argparse

from pyspark.sql import SparkSession, Window
from pyspark.sql.functions import abs as absolute
from pyspark.sql.functions import avg, col, count, dayofweek, hour, lag, stddev, to_date, to_timestamp, unix_timestamp

HALF_HOUR_S = 1800
UNUSUAL = 3.0  # standard deviations from what is usual at this hour of this day of the week

parser = argparse.ArgumentParser(description="Look into a half-hourly series.")
parser.add_argument("data")
parser.add_argument("--format", default="csv")
args = parser.parse_args()

spark = SparkSession.builder.appName("Data exploration").getOrCreate()
rows = spark.read.format(args.format).schema("timestamp string, value long").options(header=True)
series = (
    rows.load(args.data)
    .withColumn("time", to_timestamp("timestamp"))
    .withColumn("hour", hour("time"))
    .withColumn("weekday", dayofweek("time"))
    .cache()
)
print("rows:", series.count(), "days:", series.select(to_date("time")).distinct().count())
series.select("value").summary("count", "min", "25%", "50%", "75%", "max").show()

steps = unix_timestamp("time") - lag(unix_timestamp("time")).over(Window.orderBy("time"))
print("gaps:", series.select(steps.alias("step")).where(col("step") != HALF_HOUR_S).count())
print("without a value:", series.where(col("value").isNull()).count())

print("busiest hours:")
series.groupBy("hour").agg(avg("value").cast("long").alias("mean")).orderBy(col("mean").desc()).show(5)
print("days of the week (1 is Sunday):")
series.groupBy("weekday").agg(avg("value").cast("long").alias("mean")).orderBy("weekday").show()

usual = series.groupBy("weekday", "hour").agg(avg("value").alias("usual"), stddev("value").alias("spread"), count("*"))
distance = absolute(col("value") - col("usual")) / col("spread")
unusual = series.join(usual, ["weekday", "hour"]).withColumn("distance", distance).where(col("distance") > UNUSUAL)
print("unusual half hours:", unusual.count())
unusual.orderBy(col("distance").desc(), "time").select("timestamp", "value", col("usual").cast("long")).show(5)
spark.stop()
