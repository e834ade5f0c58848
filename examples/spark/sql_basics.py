"""What Spark SQL can do with a small table: columns, filters, groups, views, and schemas found or given.

usage: sql_basics.py [FOLDER] [--format plain|sealed]

FOLDER has people.json and people.txt; by default it is that of this program.
"""

import argparse
from pathlib import Path

from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import StringType, StructField, StructType

parser = argparse.ArgumentParser(description="Columns, filters, groups, views and schemas.")
parser.add_argument("folder", nargs="?", default=str(Path(__file__).parent))
parser.add_argument("--format", default="plain")
args = parser.parse_args()
sealed = args.format == "sealed"
spark = SparkSession.builder.appName("SQL basics").getOrCreate()

# A DataFrame and its columns.
people = spark.read.format("sealed" if sealed else "json").load(f"{args.folder}/people.json")
people.show()
people.printSchema()
people.select("name").show()
people.select("name", (col("age") + 1).alias("age next year")).show()
people.where(col("age") > 21).show()
people.groupBy("age").count().orderBy("age").show()

# The same rows by SQL: a view of this session, one of all sessions, and that from another session.
people.createOrReplaceTempView("people")
spark.sql("select * from people").show()
people.createOrReplaceGlobalTempView("everybody")
spark.sql("select * from global_temp.everybody").show()
spark.newSession().sql("select * from global_temp.everybody").show()

# Rows from lines of text: a schema that Spark finds by itself …
lines = spark.read.format("sealed" if sealed else "text").load(f"{args.folder}/people.txt")
fields = lines.rdd.map(lambda row: [part.strip() for part in row.value.split(",")])
spark.createDataFrame(fields.map(lambda part: Row(name=part[0], age=int(part[1])))).createOrReplaceTempView("lines")
for row in spark.sql("select name from lines where age between 13 and 19").collect():
    print("Name:", row.name)

# … and one that is given.
schema = StructType([StructField("name", StringType()), StructField("age", StringType())])
spark.createDataFrame(fields, schema).select("name").show()
spark.stop()
