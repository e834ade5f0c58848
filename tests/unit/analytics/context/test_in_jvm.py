"""Where Spark's JVMs look for a data set that Python has checked."""

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs pip install 'strongroom[analytics]'")

from strongroom.analytics.context.in_jvm import hadoop_address


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("/data/a b", "file:/data/a b"),
        ("/data/50%?#:", "file:/data/50%?#:"),
        ("data", f"file:{Path('data').absolute()}"),
        ("file:/a%20b", "file:/a b"),
        ("file:///a", "file:/a"),
        ("/a/../b", None),
        ("file:/a/%2e%2e/b", None),
        ("hdfs://name:8020/a", "hdfs://name:8020/a"),
        ("hdfs:/a", "hdfs:/a"),
        ("s3://bucket/a", "s3a://bucket/a"),
        ("s3a://bucket/a", "s3a://bucket/a"),
        ("gcs://bucket/a", "gs://bucket/a"),
        ("abfss://box@account/a", "abfss://box@account/a"),
        ("s3://bucket/a%20b", None),
        ("s3://bucket/a?region=x", None),
        ("hdfs://name/a/../b", None),
    ],
)
def test_hadoop_looks_where_python_looked(place, address):
    assert hadoop_address(place) == address
