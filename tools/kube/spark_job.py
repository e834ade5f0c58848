"""What the cluster runs as `make kube OPTIONS=--only-spark`: sums over a sealed data set, written sealed.

Nothing of Strongroom but two words for a format. It waits at its end, so that everybody can be looked at.
"""

import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("sums").getOrCreate()
people = spark.read.format("sealed").option("header", True).load("/data/people")
sums = people.filter("age >= 45").groupBy("city").agg({"age": "sum"})
sums.write.format("sealed").options(kind="csv", key="people").mode("overwrite").save("/data/sums")
hosts = spark.sparkContext.parallelize(range(8), 8).map(lambda _: Path("/etc/hostname").read_text().strip())
print("EXECUTORS", *sorted(hosts.distinct().collect()), flush=True)
Path("/data/at_work").touch()
deadline = time.monotonic() + float(sys.argv[1])
while not Path("/data/go_on").exists() and time.monotonic() < deadline:
    time.sleep(0.2)
spark.stop()
