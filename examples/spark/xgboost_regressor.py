"""Predict the prices of houses with XGBoost on Spark.

usage: xgboost_regressor.py DATA [--format csv|parquet|sealed] [--save FOLDER --key NAME]

DATA has numeric columns, the last of which (label) is to be predicted. One worker learns with all threads: XGBoost's
workers would talk to each other without TLS.
"""

import argparse
import os

from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession
from xgboost.spark import SparkXGBRegressor

from strongroom.analytics.keys.opening import default_keys
from strongroom.analytics.learning import models, trees_onnx

parser = argparse.ArgumentParser(description="Predict the prices of houses.")
parser.add_argument("data")
parser.add_argument("--format", default="csv")
parser.add_argument("--save")
parser.add_argument("--key")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

spark = SparkSession.builder.appName("XGBoost regressor").getOrCreate()
rows = spark.read.format(args.format).options(header=True, inferSchema=True).load(args.data)
columns = [name for name in rows.columns if name != "label"]
table = VectorAssembler(inputCols=columns, outputCol="features").transform(rows).select("features", "label")
train, test = table.randomSplit([0.8, 0.2], seed=args.seed)

regressor = SparkXGBRegressor(
    features_col="features", label_col="label", num_workers=1, n_estimators=100, max_depth=5, seed=args.seed
)
model = regressor.fit(train)
predictions = model.transform(test)
predictions.show()
for metric in ("rmse", "r2"):
    value = RegressionEvaluator(labelCol="label", metricName=metric).evaluate(predictions)
    print(f"{metric} of {predictions.count()} rows: {value:.4f}")

if args.save:
    booster = model.get_booster()
    files = {"model.onnx": trees_onnx.to_onnx(booster)}
    written = models.save(args.save, default_keys(os.environ), files, name="houses", key=args.key)
    print(f"model saved: {args.save}, generation {written.generation}, sealed under {written.key_id}")
spark.stop()
