"""Parquet's own encryption under our keys: the class that Spark's JVM asks, its twin for pyarrow, and their folders."""
