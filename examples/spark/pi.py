"""Estimate Pi: the share of random points of a square that fall into its circle.

usage: pi.py [PARTITIONS] [SEED] [POINTS_PER_PARTITION]
"""

import random
import sys
from collections.abc import Iterator

from pyspark.sql import SparkSession

partitions = int(sys.argv[1]) if len(sys.argv) > 1 else 4
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
points = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000


def inside(partition: int, _: Iterator[int]) -> Iterator[int]:
    """Count the points of one partition that fall into the circle."""
    dice = random.Random(f"{seed}/{partition}")  # noqa: S311 - points, not keys
    yield sum(dice.random() ** 2 + dice.random() ** 2 <= 1 for _ in range(points))


spark = SparkSession.builder.appName("Pi").getOrCreate()
hits = spark.sparkContext.parallelize(range(partitions), partitions).mapPartitionsWithIndex(inside).sum()
print(f"Pi is roughly {4 * hits / (partitions * points):.6f}")
spark.stop()
