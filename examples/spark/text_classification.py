"""Tell spam from other mails by their words, with Spark's own MLlib.

usage: text_classification.py DATA [--format parquet|json|sealed]

DATA has columns text and spam (0 or 1), as many of one kind as of the other.
"""

import argparse

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import IDF, HashingTF, RegexTokenizer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

parser = argparse.ArgumentParser(description="Tell spam from other mails.")
parser.add_argument("data")
parser.add_argument("--format", default="parquet")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

spark = SparkSession.builder.appName("Text classification").getOrCreate()
mails = spark.read.format(args.format).load(args.data).select("text", f.col("spam").cast("double").alias("label"))
train, test = mails.randomSplit([0.8, 0.2], seed=args.seed)

steps = [
    RegexTokenizer(inputCol="text", outputCol="words", pattern=r"[^\w$!%]+|(?<=\w)(?=[$!%])", minTokenLength=1),
    HashingTF(inputCol="words", outputCol="counts", numFeatures=1 << 16, binary=True),
    IDF(inputCol="counts", outputCol="features", minDocFreq=2),
    LogisticRegression(maxIter=30, regParam=0.01, labelCol="label"),
]
model = Pipeline(stages=steps).fit(train)
judged = model.transform(test).withColumn("sure", vector_to_array("probability")[f.col("label").cast("int")])
told = judged.agg(
    f.avg(-f.log(f.greatest("sure", f.lit(1e-12)))).alias("loss"),
    f.avg((f.col("prediction") == f.col("label")).cast("double")).alias("right"),
    f.count("*").alias("mails"),
).first()
print(f"mails: {train.count()} to learn from, {told.mails} to be told")
print("results:", {"loss": told.loss, "acc Top1Accuracy": told.right})
spark.stop()
