"""Data sets written and read as Spark's tasks do it, in one process and without a JVM."""

import importlib.util

import pytest

if importlib.util.find_spec("pyspark") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def keys(tmp_path):
    """Return a reference to key files with the primary keys `people` and `pay`."""
    from strongroom.analytics.keys.files import write_ring
    from strongroom.datasets.key_ring import KeyRing

    for name in ("people", "pay"):
        write_ring(tmp_path / "keys", KeyRing.fresh(name))
    return f"file:{tmp_path / 'keys'}"


@pytest.fixture
def spark_like(tmp_path, keys):
    """Return what writes and reads data sets in folder `data`, as a driver and its tasks do."""
    from pyspark.sql.pandas.types import from_arrow_schema

    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.sealing.write import DatasetWriter
    from strongroom.analytics.source.options import Options
    from strongroom.analytics.source.reader import FilteringReader, data_schema
    from strongroom.analytics.source.writer import SealedRowWriter

    class Sparkish:
        folder = tmp_path / "data"

        def options(self, **options):
            return Options.parse({"path": str(self.folder), "keys": keys, **options})

        def writer(self, table, *, overwrite=False, **options):
            return SealedRowWriter(
                self.options(**{"key": "people", **options}), from_arrow_schema(table.schema), overwrite
            )

        def write(self, *tables, overwrite=False, **options):
            writer = self.writer(tables[0], overwrite=overwrite, **options)
            writer.commit([writer.write(iter(table.to_batches())) for table in tables])

        def seal(self, plain, path, kind):
            (tmp_path / "plain").write_bytes(plain)
            with DatasetWriter(self.folder, open_keys(keys), name="d", key="people", kind=kind) as writer:
                writer.add(tmp_path / "plain", path)
                writer.commit()

        def schema(self, **options):
            return data_schema(self.options(**options))

        def reader(self, schema, *filters, **options):
            reader = FilteringReader(self.options(**options), from_arrow_schema(schema))
            self.left = list(reader.pushFilters(list(filters)))
            return reader

        def batches(self, schema, *filters, **options):
            reader = self.reader(schema, *filters, **options)
            for partition in reader.partitions():
                yield from reader.read(partition)

        def rows(self, schema, *filters, **options):
            return [row for batch in self.batches(schema, *filters, **options) for row in batch.to_pylist()]

    return Sparkish()
