"""A Spark program that runs queries as it is told over a Unix socket: the driver of bench/spark_tpch.py.

usage: spark_tpch_driver.py SOCKET DATA

A line is the path of a query; the answer is a line with the digest of its rows. It ends with the connection.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main(place: str, data: str) -> None:
    """Open the tables, say so, and run queries until nobody asks any more."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(place)
        spark = SparkSession.builder.appName("TPC-H derived").getOrCreate()
        for table in sorted(Path(data).glob("*.parquet")):
            spark.read.parquet(str(table)).createOrReplaceTempView(table.stem)
        stream = link.makefile("rw", encoding="utf-8")
        print("ready", file=stream, flush=True)
        for line in stream:
            rows = spark.sql(Path(line.strip()).read_text(encoding="utf-8")).collect()
            print(hashlib.sha256(repr(rows).encode()).hexdigest(), file=stream, flush=True)
        spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
