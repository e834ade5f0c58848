"""What CSV and JSON of other writers means: as Spark reads it, or refused. tests/e2e/analytics asks Spark itself."""

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.source import blocks, decode_csv, decode_json, dialect
from strongroom.analytics.source.columns import arrange
from strongroom.analytics.source.decode_csv import read_csv
from strongroom.analytics.source.decode_json import read_json
from strongroom.analytics.source.encode_csv import CsvRows
from strongroom.analytics.source.faults import BadRows, BadSourceOption, RowsNotWritten
from strongroom.analytics.source.options import Options
from strongroom.analytics.source.spark_options import _KNOWN
from strongroom.datasets.manifest import Kind

TWO = pa.schema([("a", pa.string()), ("b", pa.string())])
KINDS = {"int": pa.int32(), "long": pa.int64(), "decimal": pa.decimal128(10, 2), "double": pa.float64(),
         "boolean": pa.bool_(), "date": pa.date32()}  # fmt: skip


def options(**given):
    return Options.parse({"path": "/d", **given})


def of_csv(text, schema=TWO, **given):
    stream = io.BytesIO(text.encode() if isinstance(text, str) else text)
    batches = read_csv(stream, options(**given), schema, schema.names)
    return [tuple(row.values()) for batch in batches for row in arrange(batch, schema).to_pylist()]


def of_json(text, schema):
    batches = read_json(io.BytesIO(text.encode()), schema)
    return [tuple(row.values()) for batch in batches for row in arrange(batch, schema).to_pylist()]


def in_json(text, kind):
    return [value for (value,) in of_json(text, pa.schema([("a", kind)]))]


@pytest.mark.parametrize(
    ("line", "given", "wanted"),
    [
        (r'"say \"hi\", x",1', {}, ('say "hi", x', "1")),
        (r'"say ""hi"", x",1', {}, ('say "hi", x', "1")),
        (r'"C:\\","a\nb\\n"', {}, ("C:\\", r"a\nb\n")),
        (r"a\"b,\\", {}, (r"a\"b", "\\\\")),
        (r'6" pipe,5"', {}, ('6" pipe', '5"')),
        ('"",', {}, ("", None)),
        (r'"C:\","\\x"', {"escape": '"'}, ("C:\\", r"\\x")),
        (r"'a''b','c\'d'", {"quote": "'"}, ("a'b", "c'd")),
        ('"a^"b",^^', {"escape": "^"}, ('a"b', "^^")),
        ('"a,"b', {"quote": ""}, ('"a', '"b')),
        ('"x\ty"\t"z', {"sep": "\\t"}, None),
        ('"x\ty"\t1', {"sep": "\\t"}, ("x\ty", "1")),
        ('-,"-"', {"nullValue": "-"}, (None, None)),
        ('"a\nb",1', {}, ("a\nb", "1")),
        ('"a\nb",1', {"multiLine": "false"}, None),
        ('"a"b,1', {}, None),
        ('"a" ,1', {}, None),
        ('"a,1', {}, None),
        ('1,"a', {}, None),
        (r'"a\",1', {}, None),
        ("1", {}, None),
        ("1,2,3", {}, None),
    ],
)
def test_a_line_of_csv_is_what_spark_takes_it_for_or_refused(line, given, wanted):
    if wanted is None:
        with pytest.raises(BadRows):
            of_csv(f"{line}\n", **given)
    else:
        assert of_csv(f"{line}\n", **given) == [wanted]
        assert of_csv(f"\ufeff{line}", **given) == [wanted]


def test_what_is_wrong_with_quotes_is_said_with_the_options_that_may_help():
    with pytest.raises(BadRows, match="not followed by a delimiter") as refused:
        of_csv('"SECRET"x,1\n')
    assert "escape" in refused.value.fix
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("int", " 5"), ("int", "5 "), ("int", "0x10"), ("int", "2147483648"), ("int", "1.0"), ("long", "1e3"),
     ("decimal", "123456789.5"), ("decimal", " 1"), ("decimal", "0x1"), ("double", "nan"), ("double", "inf"),
     ("double", "1d"), ("boolean", "1"), ("boolean", "yes"), ("date", "2024-1-2"), ("date", "20240102")],
)  # fmt: skip
def test_a_value_that_spark_makes_null_is_refused(kind, text):
    with pytest.raises(BadRows, match="column a has a value that does not fit its type"):
        of_csv(f"{text},x\n", pa.schema([("a", KINDS[kind]), ("b", pa.string())]))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [("int", "-5", -5), ("int", '"05"', 5), ("int", '""', None), ("double", "NaN", "nan"),
     ("double", "-Infinity", "-inf"), ("decimal", "1e2", Decimal("100.00")), ("boolean", "tRUE", True)],
)  # fmt: skip
def test_a_value_that_spark_reads_is_read(kind, text, value):
    schema = pa.schema([("a", KINDS[kind]), ("b", pa.string())])
    [(found, _)] = of_csv(f"{text},x\n", schema)
    assert (str(found) if isinstance(value, str) else found) == value


CELLS = st.text(st.sampled_from('a"\\,\n ;^é'), max_size=6)


@given(
    st.lists(st.tuples(st.none() | CELLS, CELLS), min_size=1, max_size=30),
    st.sampled_from([{}, {"escape": '"'}, {"escape": "^", "sep": ";"}, {"quote": "'"}, {"quoteAll": "true"}]),
    st.integers(3, 40),
)
def test_any_rows_come_back_however_the_file_is_cut_into_pieces(rows, given, size):
    table = pa.table({"a": pa.array([a for a, _ in rows], pa.string()), "b": [b for _, b in rows]})
    stream = io.BytesIO()
    writer = CsvRows(stream, table.schema, options(**given))
    for batch in table.to_batches():
        writer.write_batch(batch)
    cut = Cut(stream.getvalue(), size)
    found = [row for batch in read_csv(cut, options(**given), TWO, TWO.names) for row in batch.to_pylist()]
    assert [tuple(row.values()) for row in found] == rows


class Cut(io.BytesIO):
    """Gives so many bytes at once."""

    def __init__(self, data, size):
        super().__init__(data)
        self.most = size

    def read(self, size=-1):
        return super().read(min(self.most, size) if size >= 0 else self.most)


@pytest.fixture
def small_blocks(monkeypatch):
    """Make blocks of 1000 bytes."""
    for module in (blocks, dialect, decode_csv, decode_json):
        monkeypatch.setattr(module, "BLOCK_BYTES", 1000)


def test_a_value_without_an_end_is_refused_before_it_fills_the_memory(small_blocks):
    with pytest.raises(BadRows, match="more than 1000 bytes, or a quote is never closed"):
        of_csv('1,"' + "a" * 5000)
    with pytest.raises(BadRows, match="more than 1000 bytes"):
        of_json('{"a": "' + "a" * 5000, pa.schema([("a", pa.string())]))


@pytest.mark.parametrize("quoted", ["text", 'te""xt', r"te\"xt", "te\nxt"])
def test_files_of_many_blocks_are_read_to_their_end(small_blocks, quoted):
    lines = "".join(f'{at},"{quoted} {at}"\n' for at in range(2000))
    text = quoted.replace('""', '"').replace(r"\"", '"')
    assert of_csv(lines) == [(str(at), f"{text} {at}") for at in range(2000)]
    lines = "".join(f'{{"a": {at}}}\n' for at in range(2000))
    assert in_json(lines, pa.int64()) == [*range(2000)]
    maps = "".join(f'{{"a": {{"x": {at}}}}}\n' for at in range(2000))
    assert in_json(maps, pa.map_(pa.string(), pa.int64())) == [[("x", at)] for at in range(2000)]


def test_what_needs_quotes_is_not_written_without_and_what_means_null_not_at_all():
    table = pa.table({"a": ["x,y"]})
    with pytest.raises(RowsNotWritten, match="column a has values that need quotes"):
        CsvRows(io.BytesIO(), table.schema, options(quote="")).write_batch(table.to_batches()[0])
    with pytest.raises(RowsNotWritten, match="column a has values that are the nullValue"):
        CsvRows(io.BytesIO(), table.schema, options(nullValue="x,y")).write_batch(table.to_batches()[0])


def test_a_header_without_a_name_has_sparks_and_one_with_two_is_refused():
    schema = pa.schema([("n", pa.int32()), ("_c0", pa.string())])
    assert of_csv(",n\nfirst,1\n", schema, header="true") == [(1, "first")]
    with pytest.raises(BadRows, match="column n  more than once"):
        of_csv("N,n,N\n1,2,3\n", pa.schema([("n ", pa.int32())]), header="true")


def test_a_null_struct_may_hold_what_has_to_be_converted():
    born = pa.struct([("d", pa.date32()), ("at", pa.timestamp("us", "UTC")), ("raw", pa.binary()), ("n", pa.int32())])
    day, noon = dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 12, tzinfo=dt.UTC)
    text = '{"a": null}\n{}\n{"a": {"d": "2024-01-02", "at": "2024-01-02T12:00:00Z", "raw": "YQ=="}}\n{"a": {}}\n'
    full, empty = {"d": day, "at": noon, "raw": b"a", "n": None}, dict.fromkeys(born.names)
    assert in_json(text, born) == [None, None, full, empty]
    many = '{"a": [null, {"d": "2024-01-02"}]}\n{"a": null}\n{"a": []}\n'
    assert in_json(many, pa.list_(born)) == [[None, {**empty, "d": day}], None, []]
    outer = pa.struct([("in", born), ("all", pa.list_(pa.date32()))])
    assert in_json('{"a": {"in": null, "all": ["2024-01-02", null]}}\n{"a": null}\n', outer) == [
        {"in": None, "all": [day, None]}, None,
    ]  # fmt: skip


def test_times_are_instants_at_any_depth_with_an_offset_and_without():
    kind = pa.list_(pa.timestamp("us", "UTC"))
    found = in_json('{"a": ["2024-01-02T12:00:00", "2024-01-02T12:00:00+01:00", "2024-01-02", null]}\n', kind)
    assert [at and at.hour for at in found[0]] == [12, 11, 0, None]


def test_objects_of_any_names_are_maps():
    kind = pa.map_(pa.string(), pa.struct([("d", pa.date32()), ("w", pa.decimal128(5, 2))]))
    text = '{"a": {"x": {"d": "2024-01-02", "w": 1.25, "other": 1}, "y": null}}\n{"a": {}}\n{"a": null}\n\n{}\n'
    assert in_json(text, kind) == [
        [("x", {"d": dt.date(2024, 1, 2), "w": Decimal("1.25")}), ("y", None)], [], None, None,
    ]  # fmt: skip
    for wrong in ('{"a": {"x": 5}}', '{"a": []}', '{"a": {"x": {"w": "1.234"}}}', '{"a": {"x": {"w": true}}}'):
        with pytest.raises(BadRows, match="column a"):
            in_json(wrong, kind)
    with pytest.raises(BadSourceOption, match="from STRING"):
        in_json("{}", pa.map_(pa.int32(), pa.int32()))


@pytest.mark.parametrize(
    "line",
    ["null", "[1]", "5", '{"a": "x"} null', '{"a": "x"} {"a": "y"}', '{"a":\n"x"}', '{"a": "x", "a": "y"}', '{"a": 1}',
     '{"a": "x"', "{'a': 'x'}", ' \n "x"', '{"a": "\\ud800"}'],
)  # fmt: skip
def test_what_is_not_one_object_a_line_is_refused(line):
    for kind in (pa.string(), pa.map_(pa.string(), pa.string())):
        with pytest.raises(BadRows):
            in_json(f'{{"b": 0}}\n{line}\n', kind)


def test_lines_of_json_may_be_empty_and_texts_hold_anything():
    text = '\ufeff\n{"a": "} null"}\r\n  {"a": "} {"}\n\n \t\n{"a": "x"}'
    assert in_json(text, pa.string()) == ["} null", "} {", "x"]


def test_a_number_of_json_that_does_not_fit_is_refused():
    for number in ("123456789.5", "1.234", "1e9"):
        with pytest.raises(BadRows, match=r"column a|no JSON"):
            in_json(f'{{"a": {number}}}\n', pa.decimal128(10, 2))


def test_sparks_options_are_taken_where_they_say_what_happens_and_refused_by_name_otherwise():
    for name, known in _KNOWN.items():
        for value in known.values:
            assert options(**{name: value}) is not None
        with pytest.raises(BadSourceOption, match=name) as refused:
            options(**{name: "something else"})
        assert refused.value.fix == known.fix
        assert known.fix.endswith(".")


@pytest.mark.parametrize(
    ("kind", "given"),
    [("json", {"multiLine": "true"}), ("json", {"header": "true"}), ("text", {"sep": ";"}),
     ("csv", {"compression": "gzip"}), ("json", {"mergeSchema": "true"}), ("parquet", {"escape": "^"})],
)  # fmt: skip
def test_an_option_for_another_kind_is_refused(kind, given):
    with pytest.raises(BadSourceOption, match=f"not {kind}"):
        options(**given).fit(Kind(kind))


@pytest.mark.parametrize(
    "given", [{"quote": "ab"}, {"escape": ""}, {"escape": "é"}, {"sep": "\n"}, {"sep": '"'}, {"escape": ","}], ids=str
)
def test_a_letter_of_csv_that_is_none_is_refused(given):
    with pytest.raises(BadSourceOption):
        options(**given)
