"""Count the words of text files, by default of the hello world program beside this one.

usage: wordcount.py [PATH]
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession

path = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).with_name("helloworld.py"))
spark = SparkSession.builder.appName("Word count").getOrCreate()
words = spark.read.text(path).rdd.flatMap(lambda row: row.value.split(" ")).filter(bool)
for word, count in sorted(words.map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b).collect()):
    print(f"{word}: {count}")
spark.stop()
