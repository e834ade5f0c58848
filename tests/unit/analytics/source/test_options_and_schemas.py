"""Options of format sealed, and schemas as text."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql.types import ArrayType, DecimalType, IntegerType, MapType, StringType, StructField, StructType

from strongroom.analytics.source.ddl import choose, columns_of, quoted
from strongroom.analytics.source.evolve import appended_schema
from strongroom.analytics.source.faults import BadSourceOption
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.schema import to_ddl
from strongroom.datasets.manifest import Kind
from strongroom.errors import StrongroomError


def test_names_of_options_are_in_any_case_as_in_spark():
    found = Options.parse({"PATH": "/data", "nullValue": "-", "Sep": ";", "columns": "a, b"})
    assert (found.path, found.null_value, found.delimiter, found.columns) == ("/data", "-", ";", ("a", "b"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"path": ""},
        {"path": "/d", "colums": "a"},
        {"path": "/d", "kind": "avro"},
        {"path": "/d", "header": "yes"},
        {"path": "/d", "min_generation": "-1"},
        {"path": "/d", "min_generation": "9" * 30},
        {"path": "/d", "columns": "a,,b"},
        {"path": "/d", "columns": "a,a"},
        {"path": "/d", "delimiter": "ab"},
        {"path": "/d", "delimiter": '"'},
        {"path": "/d", "on_denied": "zero"},
        {"path": "/d", "partitioning": "rows"},
        {"path": "/d", "file_bytes": "1"},
    ],
    ids=lambda options: ",".join(f"{name}={value[:8]}" for name, value in options.items()) or "none",
)
def test_an_option_that_is_unknown_or_has_no_such_value_is_refused(options):
    with pytest.raises(BadSourceOption) as refused:
        Options.parse(options)
    assert refused.value.code == "SR-DATA-OPTION"


def test_a_refused_option_says_what_to_do_where_spark_hands_on_a_trace_alone():
    with pytest.raises(BadSourceOption) as refused:
        Options.parse({"path": "/d", "hedder": "true"})
    assert "[SR-DATA-OPTION]" in refused.value.__notes__[0]


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=4))
def test_any_options_are_read_or_refused(options):
    with suppress(StrongroomError):
        Options.parse({"path": "/d", **options})


def test_columns_are_chosen_by_name_without_a_jvm():
    ddl = "a INT, `b,c` STRUCT<x: INT, y: DECIMAL(10, 2)>, d STRING NOT NULL COMMENT 'a, b'"
    assert list(columns_of(ddl)) == ["a", "b,c", "d"]
    assert choose(ddl, ["d", "b,c"]) == "d STRING NOT NULL COMMENT 'a, b', `b,c` STRUCT<x: INT, y: DECIMAL(10, 2)>"
    with pytest.raises(BadSourceOption, match="no column 'z'"):
        choose(ddl, ["z"])


@pytest.mark.parametrize("ddl", ["", "a", "a INT,", "a INT, a INT", "a STRUCT<b INT", "a `b", "a INT)"])
def test_text_that_is_no_schema_is_refused(ddl):
    with pytest.raises(BadSourceOption):
        columns_of(ddl)


@given(st.text(max_size=200))
def test_any_text_is_a_schema_or_refused(text):
    with suppress(BadSourceOption):
        columns_of(text)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(str.strip)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_what_is_written_as_ddl_has_the_same_columns(names):
    kinds = (IntegerType(), DecimalType(12, 2), ArrayType(StringType()), MapType(StringType(), IntegerType()))
    schema = StructType([StructField(name, kinds[at % 4], at % 2 == 0) for at, name in enumerate(names)])
    assert list(columns_of(to_ddl(schema))) == names
    assert choose(to_ddl(schema), names[::-1]).startswith(quoted(names[-1]))


def test_nested_types_are_written_as_spark_reads_them():
    inner = StructType([StructField("x y", DecimalType(5, 1), nullable=False)])
    schema = StructType([StructField("a", ArrayType(inner)), StructField("m", MapType(StringType(), IntegerType()))])
    assert to_ddl(schema) == "`a` ARRAY<STRUCT<`x y`: DECIMAL(5,1)>>, `m` MAP<STRING, INT>"


def test_columns_that_are_new_or_gone_are_nullable_where_files_name_their_columns():
    assert appended_schema("`a` INT NOT NULL, `b` INT", "`b` INT, `c` INT", Kind.JSON) == "`a` INT, `b` INT, `c` INT"
    with pytest.raises(BadSourceOption, match="the same columns"):
        appended_schema("`a` INT", "`a` INT, `b` INT", Kind.CSV)
    with pytest.raises(BadSourceOption, match="another type"):
        appended_schema("`a` INT", "`a` STRING", Kind.PARQUET)
