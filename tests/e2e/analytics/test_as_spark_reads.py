"""CSV and JSON read by format sealed are the rows that Spark's own readers find in the same files in clear."""

import csv
import datetime as dt
import inspect
import io
import itertools
import json
import os
import re
import shutil
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

import pyarrow as pa
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

EXAMPLES = 20 if os.environ.get("STRONGROOM_SPARK_FULL") else 3
FEW = settings(
    max_examples=EXAMPLES, deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example is five jobs of Spark: to shrink takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
ZONE = "Asia/Kolkata"  # whose clocks have not been changed since 1945
NAMES = ("a", "B", "c d", "ü", "x.y", "null", "e`f")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8) | st.sampled_from(
    [
        "",
        " ",
        " a ",
        "\\",
        '"',
        'say "hi"',
        "a\\b",
        '\\"',
        "tab\there",
        "two\nlines",
        "null",
        "NaN",
        "日本",
        "\U0001f600",
    ]
)
INSTANTS = st.datetimes(*(dt.datetime(year, 1, 1) for year in (1950, 2199)))  # noqa: DTZ001  # in ZONE, or in none
DATES = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))


def whole(bits):
    """Return numbers of so many bits, at the edges most of all."""
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.integers(least, most) | st.sampled_from([least, most, 0, -1])


def decimals(kind):
    most = 10**kind.precision - 1
    numbers = st.integers(-most, most) | st.sampled_from([-most, most, 0])
    return numbers.map(lambda number: Decimal(f"{number}E-{kind.scale}"))  # whatever Python's precision


VALUES = {
    StringType: lambda _: TEXTS,
    BooleanType: lambda _: st.booleans(),
    ByteType: lambda _: whole(8),
    IntegerType: lambda _: whole(32),
    LongType: lambda _: whole(64),
    DoubleType: lambda _: st.floats(allow_nan=False, allow_infinity=False),
    FloatType: lambda _: st.floats(width=32, allow_nan=False, allow_infinity=False),
    DecimalType: decimals,
    DateType: lambda _: DATES,
    TimestampType: lambda _: INSTANTS,
    TimestampNTZType: lambda _: INSTANTS,
}
PLAIN = st.sampled_from([*(kind() for kind in VALUES if kind is not DecimalType)]) | st.builds(
    lambda precision, scale: DecimalType(precision, min(precision, scale)), st.integers(1, 38), st.integers(0, 38)
)


def structs(kinds):
    names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique_by=str.lower)
    return names.flatmap(
        lambda found: st.tuples(*(kinds for _ in found)).map(
            lambda types: StructType([StructField(*each) for each in zip(found, types, strict=True)])
        )
    )


NESTED = st.recursive(
    PLAIN | st.just(BinaryType()),
    lambda kinds: structs(kinds) | kinds.map(ArrayType) | kinds.map(lambda kind: MapType(StringType(), kind)),
    max_leaves=5,
)


def values(kind, nulls=True):
    """Return values of a type, as createDataFrame takes them."""
    if isinstance(kind, StructType):
        found = st.tuples(*(values(field.dataType) for field in kind.fields))
    elif isinstance(kind, ArrayType):
        found = st.lists(values(kind.elementType), max_size=3)
    elif isinstance(kind, MapType):
        found = st.dictionaries(TEXTS, values(kind.valueType), max_size=3)
    elif isinstance(kind, BinaryType):
        found = st.binary(max_size=5).map(bytearray)
    else:
        found = VALUES[type(kind)](kind)
    return st.none() | found if nulls else found


@st.composite
def tables(draw, kinds):
    schema = draw(structs(kinds))
    return schema, draw(st.lists(values(schema, nulls=False), min_size=1, max_size=25))


@pytest.fixture(scope="module")
def spark(trusted_session):
    """Return a session that knows format sealed."""
    from strongroom.analytics.source import register

    register(trusted_session.spark)
    return trusted_session.spark


@pytest.fixture
def places(primary_keys, tmp_path):
    """Return what gives a fresh folder, seals a clear file, and gives clear files back."""
    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.sealing.read import OpenDataset, open_entry
    from strongroom.analytics.sealing.write import DatasetWriter

    class Places:
        keys = f"file:{primary_keys}"

        def clear(self):
            for name in ("clear", "sealed"):
                shutil.rmtree(tmp_path / name, ignore_errors=True)
            return tmp_path / "clear"

        def sealed(self, kind):
            with DatasetWriter(tmp_path / "sealed", open_keys(self.keys), name="d", key="people", kind=kind) as writer:
                for at, path in enumerate(sorted(tmp_path.glob("clear/[!._]*"))):
                    writer.add(path, f"{at}.{kind}")
                writer.commit()
            return self.target()

        def target(self):
            return str(tmp_path / "sealed")

        def opened(self):
            (tmp_path / "clear").mkdir()
            with OpenDataset(tmp_path / "sealed", open_keys(self.keys)) as found:
                for entry in found.files:
                    with open_entry(found.folder, entry, found.data_key, pins=found.manifest.pins) as stream:
                        (tmp_path / "clear" / entry.path).write_bytes(stream.read())
            return str(tmp_path / "clear")

    return Places()


def rows_of(frame):
    return Counter(repr(row.asDict(recursive=True)) for row in frame.collect())


def both(spark, places, schema, kind, **options):
    """Return the rows that Spark finds in the clear folder, and those that are read of the same files sealed."""
    from strongroom.datasets.manifest import Kind

    clear = spark.read.schema(schema).options(mode="FAILFAST", **options)
    sealed = spark.read.schema(schema).format("sealed").options(kind=kind, keys=places.keys, **options)
    target = places.sealed(Kind(kind))
    folder = target.removesuffix("sealed") + "clear"
    return rows_of(getattr(clear, kind)(folder)), rows_of(sealed.load(target))


@FEW
@given(tables(NESTED))
def test_json_that_spark_wrote_is_read_as_spark_reads_it(spark, places, table):
    schema, rows = table
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    frame.write.options(timestampNTZFormat="yyyy-MM-dd'T'HH:mm:ss.SSSSSS", timestampFormat=MICROS).json(
        str(places.clear())
    )
    of_spark, ours = both(spark, places, schema, "json")
    assert ours == of_spark


MICROS = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"


NUMBER = re.compile(r'"a number: ([0-9.-]+)"')


def as_json(value, kind, chance):
    """Return a value as JSON may have it: fields in any order, others among them, nulls left out or said."""
    if value is None:
        return None
    if isinstance(kind, StructType):
        pairs = [(field.name, as_json(each, field.dataType, chance))
                 for field, each in zip(kind.fields, value, strict=True)]  # fmt: skip
        pairs = [(name, each) for name, each in pairs if each is not None or chance.random() < 0.5]
        pairs += [("unknown", {"a": [1, None]})] if chance.random() < 0.3 else []
        chance.shuffle(pairs)
        return dict(pairs)
    if isinstance(kind, ArrayType):
        return [as_json(each, kind.elementType, chance) for each in value]
    if isinstance(kind, MapType):
        return {name: as_json(each, kind.valueType, chance) for name, each in value.items()}
    if isinstance(kind, TimestampType):
        return f"{value.isoformat()}{chance.choice(['', '', 'Z', '+05:30', '-03:00'])}"
    if isinstance(kind, DecimalType):
        return f"a number: {value:f}"  # of which json.dumps has no digit less: see NUMBER
    return value.isoformat() if isinstance(value, dt.date) else value


@FEW
@given(tables(NESTED), st.randoms(use_true_random=False))
def test_json_that_others_wrote_is_read_as_spark_reads_it(spark, places, table, chance):
    schema, rows = table
    folder = places.clear()
    folder.mkdir()
    lines = [json.dumps(as_json(row, schema, chance), ensure_ascii=chance.random() < 0.5, default=encoded)
             for row in rows]  # fmt: skip
    (folder / "a.json").write_text(NUMBER.sub(r"\1", "\n".join(lines)), encoding="utf-8")
    of_spark, ours = both(spark, places, schema, "json", timeZone=ZONE)
    assert ours == of_spark


def encoded(value):
    import base64

    return base64.b64encode(value).decode()


@FEW
@given(tables(NESTED))
def test_json_that_is_written_sealed_is_read_by_spark_in_clear(spark, places, table):
    schema, rows = table
    places.clear()
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    wanted = rows_of(frame)
    sealed = {"kind": "json", "key": "people", "keys": places.keys}
    frame.write.format("sealed").options(**sealed).mode("append").save(places.target())
    assert rows_of(spark.read.format("sealed").options(keys=places.keys).load(places.target())) == wanted
    assert rows_of(spark.read.schema(schema).option("mode", "FAILFAST").json(places.opened())) == wanted


FORMS = st.fixed_dictionaries(
    {
        "sep": st.sampled_from([",", ";", "\t", "|"]),
        "quote": st.sampled_from(['"', "'"]),
        "nullValue": st.sampled_from(["", "-", "NULL", "\\N"]),
        "header": st.booleans(),
        "escape": st.sampled_from(["\\", "\\", "as quote", "^"]),
    }
).map(lambda found: {**found, "escape": found["quote"] if found["escape"] == "as quote" else found["escape"]})


def without(mark, rows):
    """Return rows in which no value is the one that means null, and no row is one that Spark takes for none."""
    found = [tuple(None if str(value) == mark else value for value in row) for row in rows]
    return [row for row in found if len(row) > 1 or row[0] not in (None, "")]


def empty_as_null(found):
    """Spark reads an empty text as null, even where it wrote one."""
    return Counter({row.replace(": ''", ": None"): count for row, count in found.items()})


def merged(found):
    again = Counter()
    for row, count in found.items():
        again[row.replace(": ''", ": None")] += count
    return again


TWO_TEXTS = StructType([StructField("a", StringType()), StructField("B", StringType())])
APOSTROPHES = {"sep": "|", "quote": "'", "nullValue": "\\N", "header": False, "escape": "^"}


@FEW
@given(tables(PLAIN), FORMS)
@example((TWO_TEXTS, [("", "b"), ('""', "''"), ("a", "'")]), APOSTROPHES)
def test_csv_that_spark_wrote_is_read_as_it_was_written(spark, places, table, form):
    schema, rows = table
    frame = spark.createDataFrame(without(form["nullValue"], rows), schema).coalesce(1)
    written = {"ignoreLeadingWhiteSpace": False, "ignoreTrailingWhiteSpace": False, "timestampFormat": MICROS,
               "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS", "emptyValue": 2 * form["quote"],
               **form}  # fmt: skip  # by itself Spark writes an empty text as "", whatever the quotes are
    frame.write.options(**written).csv(str(places.clear()))
    of_spark, ours = both(spark, places, schema, "csv", multiLine=True, **form)
    assert merged(ours) == merged(of_spark)
    assert ours == rows_of(frame)


@FEW
@given(tables(PLAIN), FORMS)
def test_csv_that_is_written_sealed_is_read_by_spark_in_clear(spark, places, table, form):
    schema, rows = table
    places.clear()
    frame = spark.createDataFrame(without(form["nullValue"], rows), schema).coalesce(1)
    wanted = rows_of(frame)
    sealed = {"kind": "csv", "key": "people", "keys": places.keys, **form}
    frame.write.format("sealed").options(**sealed).mode("append").save(places.target())
    assert rows_of(spark.read.format("sealed").options(keys=places.keys, **form).load(places.target())) == wanted
    clear = spark.read.schema(schema).options(mode="FAILFAST", multiLine=True, **form)
    assert merged(rows_of(clear.csv(places.opened()))) == merged(wanted)


@FEW
@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), min_size=1, max_size=20), st.booleans())
def test_csv_that_others_wrote_is_read_as_they_wrote_it(spark, places, rows, told):
    """Quotes are doubled in it; only values with a backslash and a quote or a backslash behind it need escape."""
    folder = places.clear()
    folder.mkdir()
    rows = rows if told else [[text.replace("\\", "/") for text in row] for row in rows]
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows([["NAME", "b "], *rows])
    schema = "b string, name string"
    options = {"escape": '"'} if told else {}
    of_spark = spark.read.schema("name string, b string").options(header=True, multiLine=True, escape='"')
    clear = rows_of(of_spark.csv(str(folder)).select("b", "name"))
    target = places.sealed("csv")
    sealed = spark.read.schema(schema).format("sealed").options(kind="csv", keys=places.keys, header=True, **options)
    ours = rows_of(sealed.load(target))
    assert ours == Counter(repr({"b": b, "name": name}) for name, b in rows)
    assert merged(ours) == merged(clear)


@pytest.mark.parametrize(
    ("letters", "form"),
    [
        ('a"\\, ', {}),
        ('a"\\, ', {"escape": '"'}),
        ("a'^,\"", {"quote": "'", "escape": "^"}),
        ('a"\\,', {"quote": ""}),
        ('a"\t\\', {"sep": "\t", "nullValue": "a"}),
    ],
    ids=["as written", "rfc4180", "other letters", "no quotes", "tabs"],
)
def test_any_short_text_is_the_row_that_spark_finds_in_it_or_refused(spark, letters, form):
    from pyspark.sql import functions

    texts = ["".join(text) for size in range(1, 6) for text in itertools.product(letters, repeat=size)]
    frame = spark.createDataFrame(list(enumerate(texts)), "at int, text string").coalesce(2)
    schema, corrupt = functions.lit("a string, b string, c string"), {"columnNameOfCorruptRecord": "c"}
    found = frame.select("at", functions.from_csv("text", schema, {**corrupt, **form}).alias("row")).select(
        "at", "row.*"
    )
    of_spark = {row["at"]: None if row["c"] is not None else (row["a"], row["b"]) for row in found.collect()}
    read = 0
    for at, text in enumerate(texts):
        ours = row_of(text, form)
        doubled = form.get("quote", '"') * 4 in text and form.get("escape") != '"'  # read as RFC 4180, on purpose
        if ours is None or (doubled and form.get("quote") != ""):
            continue
        read += 1
        theirs = of_spark[at]
        assert theirs is not None, repr(text)
        assert [value or None for value in ours] == [value or None for value in theirs], repr(text)
    assert read > 100


def row_of(text, form):
    """Return the one row of a file of CSV, None where it is refused."""
    from strongroom.analytics.source.decode_csv import read_csv
    from strongroom.analytics.source.faults import BadRows
    from strongroom.analytics.source.options import Options

    schema = pa.schema([("a", pa.string()), ("b", pa.string())])
    try:
        batches = list(read_csv(io.BytesIO(text.encode()), Options.parse({"path": "/d", **form}), schema, ("a", "b")))
    except BadRows:
        return None
    [row] = [row for batch in batches for row in batch.to_pylist()]
    return row["a"], row["b"]


SUPPORTED = {"sep", "delimiter", "quote", "escape", "quoteAll", "header", "inferSchema", "nullValue", "multiLine",
             "timeZone", "compression"}  # fmt: skip


def test_every_option_that_spark_has_is_supported_or_refused_by_name(spark):
    from strongroom.analytics.source.faults import BadSourceOption
    from strongroom.analytics.source.options import Options

    sql = spark._jvm.org.apache.spark.sql
    known = set()
    for each in (sql.catalyst.csv.CSVOptions, sql.catalyst.json.JSONOptions,
                 sql.execution.datasources.text.TextOptions):  # fmt: skip
        known |= set(each.getAllOptions().mkString(",").split(","))
    for kind in ("csv", "json", "text"):
        for method in (getattr(spark.read, kind), getattr(spark.range(1).write, kind)):
            known |= set(inspect.signature(method).parameters) - {"path", "paths", "schema"}
    assert known > SUPPORTED
    for name in known - SUPPORTED:
        with pytest.raises(BadSourceOption, match=name.lower()) as refused:
            Options.parse({"path": "/d", name: "something else"})
        assert refused.value.fix != BadSourceOption.fix
