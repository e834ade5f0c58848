"""Spark's format "sealed"."""

from __future__ import annotations

from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceWriter
from pyspark.sql.types import StructType

from strongroom.analytics.session.notices import quiet_planner
from strongroom.analytics.source import FORMAT
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.reader import FilteringReader, SealedRowReader, data_schema
from strongroom.analytics.source.writer import SealedRowWriter

quiet_planner()  # here: PySpark has a worker of its own for each step of a plan, and only the first makes a Sealed


class Sealed(DataSource):
    """Format "sealed": data sets that strongroom data seal, this format or pyarrow's helpers wrote."""

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return FORMAT

    def schema(self) -> str:
        """Return the columns as DDL; those of `columns` alone where given. Raises as `reader.data_schema`."""
        return data_schema(Options.parse(self.options))

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return what reads. Raises BadSourceOption."""
        options = Options.parse(self.options)
        return (FilteringReader if options.pushdown else SealedRowReader)(options, schema)

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceWriter:
        """Return what writes. Raises BadSourceOption, and as `plan` where there is a data set already."""
        return SealedRowWriter(Options.parse(self.options), schema, overwrite)
