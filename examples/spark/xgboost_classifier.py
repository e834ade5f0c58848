"""Tell who has diabetes from eight measurements, with XGBoost on Spark.

usage: xgboost_classifier.py DATA [--format csv|parquet|sealed] [--save FOLDER --key NAME]

DATA has columns f1 to f8 and label, 0 or 1. One worker learns with all threads: XGBoost's workers would talk to each
other without TLS.
"""

import argparse
import os

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession
from xgboost.spark import SparkXGBClassifier

from strongroom.analytics.keys.opening import default_keys
from strongroom.analytics.learning import models, trees_onnx

parser = argparse.ArgumentParser(description="Tell who has diabetes.")
parser.add_argument("data")
parser.add_argument("--format", default="csv")
parser.add_argument("--save")
parser.add_argument("--key")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

spark = SparkSession.builder.appName("XGBoost classifier").getOrCreate()
rows = spark.read.format(args.format).options(header=True, inferSchema=True).load(args.data)
columns = [f"f{number}" for number in range(1, 9)]
table = VectorAssembler(inputCols=columns, outputCol="features").transform(rows)
train, test = table.randomSplit([0.8, 0.2], seed=args.seed)

classifier = SparkXGBClassifier(
    features_col="features", label_col="label", num_workers=1, n_estimators=60, max_depth=3, learning_rate=0.1,
    seed=args.seed,
)  # fmt: skip
model = classifier.fit(train)
predictions = model.transform(test).select(*columns, "label", "rawPrediction", "probability", "prediction")
predictions.show(5)
area = BinaryClassificationEvaluator(labelCol="label").evaluate(predictions)
right = predictions.where("prediction = label").count() / predictions.count()
print(f"of {predictions.count()} rows: {right:.4f} right, area under ROC {area:.4f}")

if args.save:
    booster = model.get_booster()
    files = {"model.onnx": trees_onnx.to_onnx(booster)}
    written = models.save(args.save, default_keys(os.environ), files, name="diabetes", key=args.key)
    print(f"model saved: {args.save}, generation {written.generation}, sealed under {written.key_id}")
spark.stop()
