"""What is written is read: kinds of files, columns, filters, row groups, evolution, places."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import datasource as ds

from strongroom.analytics.keys.opening import open_keys
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.analytics.source.faults import BadRows, BadSourceOption, RowsNotWritten
from strongroom.datasets.manifest import Kind

PEOPLE = pa.schema([("id", pa.int64()), ("name", pa.string()), ("pay", pa.decimal128(10, 2)), ("born", pa.date32()),
                    ("seen", pa.timestamp("us", "UTC")), ("ok", pa.bool_()), ("w", pa.float64())])  # fmt: skip
ROWS = [
    {"id": 1, "name": "Anna", "pay": Decimal("10.50"), "born": dt.date(1980, 1, 2),
     "seen": dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), "ok": True, "w": 0.5},
    {"id": 2, "name": 'Ben, "x"\nsecond line', "pay": None, "born": None, "seen": None, "ok": False, "w": None},
    {"id": 3, "name": "", "pay": Decimal("-0.01"), "born": dt.date(2001, 12, 31),
     "seen": dt.datetime(1999, 1, 1, tzinfo=dt.UTC), "ok": None, "w": 1e300},
    {"id": 4, "name": None, "pay": Decimal("99999999.99"), "born": None, "seen": None, "ok": True, "w": -1.0},
]  # fmt: skip
TABLE = pa.Table.from_pylist(ROWS, schema=PEOPLE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("csv", {}),
        ("csv", {"header": "true", "delimiter": ";"}),
        ("csv", {"nullValue": "NULL"}),
        ("json", {}),
        ("parquet", {"compression": "zstd"}),
    ],
    ids=["csv", "csv-header", "csv-null", "json", "parquet"],
)
def test_rows_come_back_as_they_were(spark_like, kind, options):
    spark_like.write(TABLE.slice(0, 2), TABLE.slice(2), kind=kind, **options)
    found = spark_like.rows(PEOPLE, **options)
    assert sorted(found, key=lambda row: row["id"]) == ROWS
    assert "second line" not in "".join(path.read_bytes().decode("latin-1") for path in spark_like.folder.rglob("*.*"))


def test_text_comes_back_line_by_line(spark_like):
    lines = pa.table({"value": ["one", "", "drei ü", "vier\r\rfive\r"]})
    spark_like.write(lines, kind="text")
    assert [row["value"] for row in spark_like.rows(lines.schema)] == [
        "one", "", "drei ü", "vier", "", "five",
    ]  # fmt: skip
    with pytest.raises(RowsNotWritten, match="one column") as refused:
        spark_like.write(TABLE, kind="text", overwrite=True)
    assert refused.value.code == "SR-DATA-WRITE"


TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62), TEXTS),
        min_size=1, max_size=20,
    ),
    st.sampled_from(["csv", "json", "parquet"]),
)  # fmt: skip
def test_any_text_survives(spark_like, rows, kind):
    table = pa.table({"a": [a for a, _ in rows], "t": pa.array([t for _, t in rows], pa.string())})
    spark_like.write(table, kind=kind, overwrite=True)
    assert spark_like.rows(table.schema) == table.to_pylist()


def test_columns_are_chosen_and_types_come_from_the_manifest(spark_like):
    spark_like.write(TABLE, kind="csv")
    assert spark_like.schema(columns="pay,id") == "`pay` DECIMAL(10,2), `id` BIGINT"
    chosen = pa.schema([PEOPLE.field("pay"), PEOPLE.field("id")])
    assert spark_like.rows(chosen, columns="pay,id")[0] == {"pay": Decimal("10.50"), "id": 1}
    with pytest.raises(BadSourceOption, match="not both"):
        spark_like.rows(PEOPLE, columns="pay")


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ([ds.GreaterThan(("id",), 2)], [3, 4]),
        ([ds.Not(ds.EqualTo(("id",), 2))], [1, 3, 4]),
        ([ds.Not(ds.EqualTo(("name",), "Anna"))], [2, 3]),
        ([ds.EqualNullSafe(("name",), "Anna")], [1]),
        ([ds.Not(ds.EqualNullSafe(("name",), "Anna"))], [2, 3, 4]),
        ([ds.In(("name",), ("Anna", ""))], [1, 3]),
        ([ds.Not(ds.In(("name",), ("Anna", "")))], [2]),
        ([ds.IsNull(("pay",))], [2]),
        ([ds.IsNotNull(("pay",)), ds.LessThan(("pay",), Decimal("1.0"))], [3]),
        ([ds.LessThanOrEqual(("born",), dt.date(1980, 1, 2))], [1]),
        ([ds.StringStartsWith(("name",), "An")], [1]),
        ([ds.StringContains(("name",), 'n, "')], [2]),
        ([ds.StringEndsWith(("name",), "line")], [2]),
        ([ds.EqualTo(("ok",), True)], [1, 4]),
    ],
    ids=range(14),
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_filters_that_are_taken_over_mean_what_sql_means(spark_like, kind, filters, wanted):
    spark_like.write(TABLE, kind=kind)
    assert [row["id"] for row in spark_like.rows(PEOPLE, *filters)] == wanted
    assert not spark_like.left


def test_filters_that_arrow_means_otherwise_are_left_to_spark(spark_like):
    spark_like.write(TABLE, kind="parquet")
    left = [ds.GreaterThan(("w",), 0.0), ds.EqualTo(("seen",), dt.datetime(1999, 1, 1, tzinfo=dt.UTC)),
            ds.EqualTo(("id", "x"), 1), ds.EqualTo(("id",), 2**80), ds.In(("id",), (1, None)),
            ds.LessThan(("pay",), Decimal("1.001"))]  # fmt: skip
    assert len(spark_like.rows(PEOPLE, *left)) == 4
    assert spark_like.left == left


def test_row_groups_are_shared_among_tasks_and_left_out_by_their_statistics(spark_like, monkeypatch):
    monkeypatch.setattr("strongroom.analytics.source.encode.GROUP_ROWS", 100)
    table = pa.table({"n": pa.array(range(1000), pa.int64())})
    spark_like.write(table, kind="parquet")
    assert len(spark_like.reader(table.schema, partitioning="rowgroups").partitions()) == 10
    few = spark_like.reader(table.schema, ds.GreaterThan(("n",), 850), partitioning="rowgroups")
    assert len(few.partitions()) == 2
    assert len(spark_like.rows(table.schema, ds.In(("n",), (5, 905)), partitioning="rowgroups")) == 2
    assert len(spark_like.rows(table.schema, partitioning="rowgroups")) == 1000


def test_large_results_become_several_files(spark_like):
    table = pa.table({"t": ["x" * 1000] * 1000})
    spark_like.write(pa.Table.from_batches(table.to_batches(max_chunksize=100)), kind="json", file_bytes="65536")
    assert len([*spark_like.folder.glob("part-*.json")]) == 10
    assert len(spark_like.rows(table.schema)) == 1000


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_files_of_several_schemas_are_read_as_one(spark_like, kind):
    old = pa.table({"a": pa.array([1], pa.int64()), "b": ["x"]})
    new = pa.table({"c": pa.array([2.5]), "b": ["y"]})
    spark_like.write(old, kind=kind)
    spark_like.write(new)
    assert spark_like.schema() == "`a` BIGINT, `b` STRING, `c` DOUBLE"
    both = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.float64())])
    wanted = [{"a": 1, "b": "x", "c": None}, {"a": None, "b": "y", "c": 2.5}]
    assert sorted(spark_like.rows(both), key=lambda row: row["b"]) == wanted


def test_a_generation_is_counted_with_every_commit(spark_like, keys):
    for overwrite in (False, False, True):
        spark_like.write(TABLE, kind="json", overwrite=overwrite)
    with OpenDataset(spark_like.folder, open_keys(keys)) as found:
        assert (found.manifest.generation, len(found.files), found.manifest.name) == (3, 1, "data")
    assert {path.name for path in spark_like.folder.iterdir()} == {"_strongroom.json", found.files[0].path}


def test_nothing_written_is_a_data_set_without_rows(spark_like):
    spark_like.write(TABLE.slice(0, 0), kind="csv")
    reader = spark_like.reader(PEOPLE)
    assert reader.partitions() == []
    assert [*reader.read(ds.InputPartition(None))] == []
    assert spark_like.schema(columns="id") == "`id` BIGINT"


@pytest.mark.parametrize(
    ("kind", "plain", "schema", "what"),
    [
        ("csv", b"1,2\n1,SECRET\n", pa.schema([("a", pa.int64()), ("b", pa.int64())]), "column b"),
        ("csv", b"1,2\n1,2,SECRET\n", pa.schema([("a", pa.int64()), ("b", pa.int64())]), "more or fewer columns"),
        ("json", b'{"a": "SECRET"}\n', pa.schema([("a", pa.int64())]), "column a"),
        ("json", b"SECRET\n", pa.schema([("a", pa.int64())]), "no JSON object"),
        ("text", b"SECRET\xff\n", pa.schema([("value", pa.string())]), "UTF-8"),
        ("parquet", b"SECRET no parquet", pa.schema([("a", pa.int64())]), "Parquet"),
    ],
    ids=["csv-type", "csv-width", "json-type", "json", "text", "parquet"],
)
def test_rows_that_do_not_fit_are_refused_by_file_and_column_and_never_shown(spark_like, kind, plain, schema, what):
    spark_like.seal(plain, f"day=1/f.{kind}", Kind(kind))
    with pytest.raises(BadRows, match=what) as refused:
        spark_like.rows(schema)
    assert refused.value.code == "SR-DATA-ROWS"
    assert f"data set d: day=1/f.{kind}: " in str(refused.value)
    assert "SECRET" not in str(refused.value)
    assert refused.value.__notes__ == [f"what to do: {refused.value.fix} [SR-DATA-ROWS]"]


def test_a_line_of_names_that_is_read_as_values_is_said_to_be_one(spark_like):
    spark_like.seal(b"name,age\nAndy,30\n", "p.csv", Kind.CSV)
    schema = pa.schema([("name", pa.string()), ("age", pa.int64())])
    with pytest.raises(BadRows, match="column age") as refused:
        spark_like.rows(schema)
    assert "Set the option header to true" in refused.value.fix
    assert spark_like.rows(schema, header="true") == [{"name": "Andy", "age": 30}]


def test_files_that_the_owner_sealed_say_their_columns(spark_like):
    spark_like.seal("city,n\nKöln,7\nBonn,8\n".encode(), "p.csv", Kind.CSV)
    assert spark_like.schema() == "`_c0` STRING, `_c1` STRING"
    assert spark_like.schema(header="true") == "`city` STRING, `n` STRING"
    assert spark_like.schema(header="true", inferSchema="true") == "`city` STRING, `n` BIGINT"
    found = spark_like.rows(pa.schema([("n", pa.int64())]), header="true", columns="n", inferSchema="true")
    assert found == [{"n": 7}, {"n": 8}]


def test_a_header_in_another_case_names_the_same_columns_and_an_unknown_one_is_refused(spark_like):
    spark_like.seal(b'NAME, Age,"two\nlines"\nAnna,30,x\n', "a.csv", Kind.CSV)
    options = {"header": "true", "kind": "csv"}
    wanted = pa.schema([("age", pa.int32()), ("name", pa.string())])
    assert spark_like.rows(wanted, **options) == [{"age": 30, "name": "Anna"}]
    with pytest.raises(BadRows, match="the header has no column pay"):
        spark_like.rows(pa.schema([("pay", pa.int32())]), **options)


def test_a_null_that_would_be_no_row_is_not_written(spark_like):
    alone = pa.table({"name": ["a", None, ""]})
    with pytest.raises(RowsNotWritten, match="only column name"):
        spark_like.write(alone, kind="csv")
    spark_like.write(alone, kind="csv", nullValue="-")
    assert [row["name"] for row in spark_like.rows(alone.schema, nullValue="-")] == ["a", None, ""]


def test_bytes_come_back_from_json(spark_like):
    inner = pa.struct([("raw", pa.binary()), ("n", pa.int64())])
    rows = [{"x": b"\0\xff", "in": {"raw": b"abc", "n": 7}, "many": [b"x", None]},
            {"x": None, "in": None, "many": None}]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=pa.schema([("x", pa.binary()), ("in", inner),
                                                         ("many", pa.list_(pa.binary()))]))  # fmt: skip
    spark_like.write(table, kind="json")
    assert spark_like.rows(table.schema) == rows
    spark_like.write(pa.table({"x": ["no base64"]}), kind="json", overwrite=True)
    with pytest.raises(BadRows, match="column x has values that are no base64"):
        spark_like.rows(pa.schema([("x", pa.binary())]))


def test_instants_of_int96_are_those_in_any_zone(spark_like, tmp_path):
    noon = dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC)
    plain = pa.table({"at": pa.array([noon.replace(tzinfo=None)], pa.timestamp("us"))})
    pq.write_table(plain, tmp_path / "p", use_deprecated_int96_timestamps=True)
    spark_like.seal((tmp_path / "p").read_bytes(), "a.parquet", Kind.PARQUET)
    schema = pa.schema([("at", pa.timestamp("us", "UTC"))])
    found = spark_like.rows(schema, timeZone="Europe/Berlin")
    assert [row["at"] for row in found] == [noon]


def test_columns_in_the_names_of_folders_are_columns(spark_like, tmp_path, keys):
    pq.write_table(pa.table({"id": [1]}), tmp_path / "p")
    with DatasetWriter(spark_like.folder, open_keys(keys), name="d", key="people", kind=Kind.PARQUET) as writer:
        for place in ("day=2024-01-02/city=a%2Fb/n=1", "day=2024-01-03/city=__HIVE_DEFAULT_PARTITION__/n=2"):
            writer.add(tmp_path / "p", f"{place}/p.parquet")
        writer.commit()
    assert spark_like.schema() == "`id` BIGINT, `day` DATE, `city` STRING, `n` INT"
    schema = pa.schema([("id", pa.int64()), ("day", pa.date32()), ("city", pa.string()), ("n", pa.int32())])
    found = spark_like.rows(schema, ds.EqualTo(("n",), 2))
    assert found == [{"id": 1, "day": dt.date(2024, 1, 3), "city": None, "n": 2}]
    assert {row["city"] for row in spark_like.rows(schema)} == {"a/b", None}
    with pytest.raises(BadRows, match="column city has a folder"):
        spark_like.rows(pa.schema([("city", pa.int32())]))


def test_columns_that_differ_in_case_alone_are_not_appended(spark_like):
    spark_like.write(pa.table({"name": ["a"]}))
    with pytest.raises(BadSourceOption, match="case alone"):
        spark_like.write(pa.table({"Name": ["b"]}))
