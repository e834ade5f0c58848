"""What Spark SQL can do with a small table: columns, filters, groups, views, and schemas found or given.

usage: sql_basics.py [FOLDER]   (with people.json and people.txt; by default the folder of this program)
"""

import sys
from pathlib import Path

from pyspark.sql import Row, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import StringType, StructField, StructType

folder = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parent)
spark = SparkSession.builder.appName("SQL basics").getOrCreate()

# A DataFrame and its columns.
people = spark.read.json(f"{folder}/people.json")
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
lines = spark.sparkContext.textFile(f"{folder}/people.txt")
fields = lines.map(lambda line: [part.strip() for part in line.split(",")])
spark.createDataFrame(fields.map(lambda part: Row(name=part[0], age=int(part[1])))).createOrReplaceTempView("lines")
for row in spark.sql("select name from lines where age between 13 and 19").collect():
    print("Name:", row.name)

# … and one that is given.
schema = StructType([StructField("name", StringType()), StructField("age", StringType())])
spark.createDataFrame(fields, schema).select("name").show()
spark.stop()
