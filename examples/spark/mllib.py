"""Group the houses of a survey and fit a line through their prices, with Spark's own MLlib.

usage: mllib.py DATA [--format csv|parquet|sealed]

DATA has numeric columns, among them label, which the line predicts.
"""

import argparse

from pyspark.ml import Pipeline
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import SparkSession

parser = argparse.ArgumentParser(description="Group houses and fit a line through their prices.")
parser.add_argument("data")
parser.add_argument("--format", default="csv")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

spark = SparkSession.builder.appName("MLlib").getOrCreate()
rows = spark.read.format(args.format).options(header=True, inferSchema=True).load(args.data)
columns = [name for name in rows.columns if name != "label"]
train, test = rows.randomSplit([0.8, 0.2], seed=args.seed)
shared = [
    VectorAssembler(inputCols=columns, outputCol="raw"),
    StandardScaler(inputCol="raw", outputCol="features", withMean=True),
]
groups = Pipeline(stages=[*shared, KMeans(k=4, seed=args.seed, predictionCol="group")]).fit(train)
groups.transform(test).groupBy("group").avg("label").orderBy("group").show()

line = Pipeline(stages=[*shared, LinearRegression(labelCol="label")]).fit(train)
for name, weight in zip(columns, line.stages[-1].coefficients, strict=True):
    print(f"{name:>12}: {weight:+.4f}")
r2 = RegressionEvaluator(labelCol="label", metricName="r2").evaluate(line.transform(test))
print(f"r2 of {test.count()} rows: {r2:.4f}")
spark.stop()
