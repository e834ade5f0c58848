"""Count the words of text files, by default of the hello world program beside this one.

usage: wordcount.py [PATH] [--format text|sealed]
"""

import argparse
from pathlib import Path

from pyspark.sql import SparkSession

parser = argparse.ArgumentParser(description="Count the words of text files.")
parser.add_argument("path", nargs="?", default=str(Path(__file__).with_name("helloworld.py")))
parser.add_argument("--format", default="text")
args = parser.parse_args()

spark = SparkSession.builder.appName("Word count").getOrCreate()
words = spark.read.format(args.format).load(args.path).rdd.flatMap(lambda row: row.value.split(" ")).filter(bool)
for word, count in sorted(words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b).collect()):
    print(f"{word}: {count}")
spark.stop()
