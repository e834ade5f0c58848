"""Decimals that travel as whole numbers of their last digit."""

from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import datasource as ds
from pyspark.sql.types import DecimalType, LongType, StringType, StructField, StructType

from strongroom.analytics.source.numbers import as_numbers, decimals_of, in_files, numbered
from strongroom.analytics.source.options import Decimals
from strongroom.analytics.source.reader import FilteringReader

PAY = pa.table({"id": pa.array([1, 2, 3], pa.int64()),
                "pay": pa.array([Decimal("10.50"), None, Decimal("-0.01")], pa.decimal128(18, 2))})  # fmt: skip
TRAVELS = "sealed DECIMAL(18,2) as a whole number"


def told(name, comment, kind=None):
    return StructField(name, kind or LongType(), metadata={"comment": comment})


@given(st.integers(1, 18).flatmap(lambda digits: st.tuples(st.just(digits), st.integers(0, digits))), st.data())
def test_any_decimal_is_its_digits(form, data):
    digits, scale = form
    most = 10**digits - 1
    numbers = data.draw(st.lists(st.none() | st.integers(-most, most), max_size=40))
    skipped = data.draw(st.integers(0, len(numbers)))
    exact = pa.array(
        [None if each is None else Decimal(each).scaleb(-scale) for each in numbers], pa.decimal128(digits, scale)
    )
    batch = pa.record_batch({"n": pa.array(range(len(numbers)), pa.int64()), "d": exact}).slice(skipped)
    found = numbered(batch, {"d": DecimalType(digits, scale)})
    found.validate(full=True)
    assert found.schema == pa.schema([("n", pa.int64()), ("d", pa.int64())])
    assert found.column("d").to_pylist() == numbers[skipped:]


@pytest.mark.parametrize(
    ("ddl", "wanted"),
    [
        ("`a` DECIMAL(18,2)", f"`a` BIGINT COMMENT '{TRAVELS}'"),
        ("a decimal(18, 2) NOT NULL, `b` INT", f"`a` BIGINT NOT NULL COMMENT '{TRAVELS}', `b` INT"),
        ("`DECIMAL(1,1)` INT", "`DECIMAL(1,1)` INT"),
        ("`a` DECIMAL(19,2)", "`a` DECIMAL(19,2)"),
        ("`a` DECIMAL(2,18)", "`a` DECIMAL(2,18)"),
        ("`a` ARRAY<DECIMAL(9,2)>", "`a` ARRAY<DECIMAL(9,2)>"),
        ("`a` DECIMAL(9,2) COMMENT 'euro'", "`a` DECIMAL(9,2) COMMENT 'euro'"),
        ("`a``b` DECIMAL(18,2)", f"`a``b` BIGINT COMMENT '{TRAVELS}'"),
    ],
    ids=range(8),
)
def test_columns_of_64_bits_say_that_they_are_decimals(ddl, wanted):
    assert as_numbers(ddl) == wanted


def test_only_what_says_so_is_a_decimal():
    schema = StructType([told("a", TRAVELS), told("b", TRAVELS, StringType()), told("c", f"not {TRAVELS}"),
                         told("d", TRAVELS.replace("18,2", "19,2")), StructField("e", LongType())])  # fmt: skip
    assert decimals_of(schema) == {"a": DecimalType(18, 2)}
    kinds = [field.dataType for field in in_files(schema, decimals_of(schema))]
    assert kinds == [DecimalType(18, 2), StringType(), LongType(), LongType(), LongType()]


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_rows_come_as_numbers_where_asked_for(spark_like, kind):
    spark_like.write(PAY, kind=kind)
    assert spark_like.schema(decimals="numbers", columns="pay") == f"`pay` BIGINT COMMENT '{TRAVELS}'"
    assert spark_like.schema() == "`id` BIGINT, `pay` DECIMAL(18,2)"
    options = spark_like.options(decimals="numbers", pushdown="true")
    assert options.decimals is Decimals.NUMBERS
    reader = FilteringReader(options, StructType([StructField("id", LongType()), told("pay", TRAVELS)]))
    left = [ds.GreaterThan(("pay",), 0)]  # Spark means the number
    assert [*reader.pushFilters([*left, ds.LessThan(("id",), 3)])] == left
    [batch] = [batch for each in reader.partitions() for batch in reader.read(each)]
    assert batch.to_pylist() == [{"id": 1, "pay": 1050}, {"id": 2, "pay": None}]


def test_a_comment_alone_changes_nothing(spark_like):
    spark_like.write(PAY.select(["id"]), kind="parquet")
    reader = FilteringReader(spark_like.options(), StructType([told("id", TRAVELS)]))
    [batch] = [batch for each in reader.partitions() for batch in reader.read(each)]
    assert batch.to_pylist() == [{"id": 1}, {"id": 2}, {"id": 3}]
