"""Run 22 queries derived from TPC-H (not comparable with published results), one after another.

usage: tpch.py DATA [OUT]

DATA has eight folders or files of Parquet, customer.parquet to supplier.parquet. With OUT, each answer is written there
as one CSV file with a header; otherwise only the number of its rows is told.
"""

import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
QUERIES = sorted(Path(__file__).with_name("tpch").glob("q*.sql"))

data = sys.argv[1]
out = Path(sys.argv[2]) if len(sys.argv) > 2 else None
spark = SparkSession.builder.appName("TPC-H derived").getOrCreate()
for table in TABLES:
    spark.read.parquet(f"{data}/{table}.parquet").createOrReplaceTempView(table)

for number, query in enumerate(QUERIES, start=1):
    begin = time.perf_counter()
    answer = spark.sql(query.read_text(encoding="utf-8")).toPandas()
    print(f"query {number}: {len(answer)} rows in {time.perf_counter() - begin:.2f} s")
    if out is not None:
        answer.to_csv(out / f"{query.stem}.csv", index=False)
    print(f"----------------{number} finished--------------------", flush=True)
spark.stop()
