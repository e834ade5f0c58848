"""What the source refuses: tampered sets, denied keys and columns, races; and that jobs which fail leave nothing."""

import pickle
import re

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.analytics.keys.files import write_ring
from strongroom.analytics.keys.opening import open_keys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet.arrow import write_dataset
from strongroom.analytics.sealing.commit import CommittedMeanwhile, DataSetThere
from strongroom.analytics.sealing.pending import Pending, write_pending
from strongroom.analytics.sealing.read import NoDataSet
from strongroom.analytics.source.faults import BadSourceOption, ColumnDenied, RowsNotWritten
from strongroom.analytics.source.places import folder_of
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import DataFilesChanged, DataSetOld
from strongroom.errors import StrongroomError

TABLE = pa.table({"a": pa.array(range(3000), pa.int64()), "t": [f"person {n}" for n in range(3000)]})


@pytest.fixture
def parts(spark_like):
    """Return the files of a data set of two CSV files, sorted."""
    spark_like.write(TABLE.slice(0, 1500), TABLE.slice(1500), kind="csv")
    return sorted(spark_like.folder.glob("part-*"))


def test_a1_a_changed_block_is_refused_by_its_file_and_no_wrong_row_is_seen(spark_like, parts):
    whole = parts[1].read_bytes()
    for at in (20, 5000, len(whole) - 1):
        parts[1].write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StrongroomError, match=parts[1].name) as refused:
            spark_like.rows(TABLE.schema)
        assert refused.value.family == "tampered"


def test_rows_before_a_changed_block_are_those_that_were_written(spark_like):
    table = pa.table({"t": [f"{n:01000d}" for n in range(10_000)]})
    spark_like.write(table, kind="text")
    [path] = spark_like.folder.glob("part-*")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StrongroomError, match=path.name):
        spark_like.rows(table.schema)
    first = next(spark_like.batches(table.schema)).to_pylist()
    assert first == table.to_pylist()[: len(first)]


def test_a_file_that_is_missing_added_cut_or_exchanged_is_refused_before_any_row(spark_like, parts):
    first, second = (path.read_bytes() for path in parts)
    faults = {
        "missing": parts[0].unlink,
        "was added": lambda: (spark_like.folder / "part-9.csv").write_bytes(second),
        "bytes instead of": lambda: parts[0].write_bytes(first[:4096]),
    }
    for what, do in faults.items():
        do()
        with pytest.raises(DataFilesChanged, match=what):
            spark_like.reader(TABLE.schema).partitions()
        parts[0].write_bytes(first)
        (spark_like.folder / "part-9.csv").unlink(missing_ok=True)
    parts[0].write_bytes(second)
    parts[1].write_bytes(first)
    with pytest.raises(StrongroomError):
        spark_like.rows(TABLE.schema)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.data())
def test_any_change_of_any_byte_gives_an_error_or_the_same_rows(spark_like, data):
    if not spark_like.folder.exists():
        spark_like.write(TABLE.slice(0, 400), kind="json")
    path = data.draw(st.sampled_from(sorted(spark_like.folder.iterdir())))
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        assert spark_like.rows(TABLE.schema) == TABLE.slice(0, 400).to_pylist()
        assert path.suffix == ".json"
    except StrongroomError as problem:
        assert problem.family in {"tampered", "refused", "bad input"}
    finally:
        path.write_bytes(whole)


def test_an_old_copy_of_all_is_refused_by_who_remembers_its_generation(spark_like, parts):
    with pytest.raises(DataSetOld):
        spark_like.rows(TABLE.schema, min_generation="2")
    with pytest.raises(DataSetOld):
        spark_like.writer(TABLE, min_generation="2")


def test_without_the_key_there_is_neither_schema_nor_row(spark_like, parts, tmp_path):
    write_ring(tmp_path / "others", KeyRing.fresh("strangers"))
    with pytest.raises(KeyNotGranted):
        spark_like.options(keys="").path and spark_like.schema(keys="")
    for ask in (spark_like.schema, lambda **options: spark_like.rows(TABLE.schema, **options)):
        with pytest.raises(KeyNotGranted):
            ask(keys=f"file:{tmp_path / 'others'}")


def test_nothing_that_travels_to_workers_has_a_key(spark_like, parts, keys):
    reader, writer = spark_like.reader(TABLE.schema), spark_like.writer(TABLE)
    travels = pickle.dumps((reader, reader.partitions(), writer))
    service = open_keys(keys)
    wrapped = reader.partitions()[0].described
    for secret in (service.unwrap(wrapped.key_id, wrapped.wrapped), service._rings["people"].keys[1]):
        with secret.reveal() as raw:
            assert raw not in travels


def test_an_10_a_column_without_its_key_is_an_error_unless_nulls_are_asked_for(spark_like, keys, tmp_path):
    table = pa.table({"id": pa.array([1, 2], pa.int64()), "pay": pa.array([10, 20], pa.int64())})
    write_dataset(table, spark_like.folder, open_keys(keys), "people", columns={"pay": ["pay"]})
    assert spark_like.rows(table.schema) == table.to_pylist()
    (tmp_path / "keys" / "pay.key").rename(tmp_path / "pay.key")
    with pytest.raises(ColumnDenied, match=r"column pay.* primary key pay was not released") as refused:
        spark_like.rows(table.schema)
    assert refused.value.code == "SR-DATA-COLUMN"
    assert spark_like.rows(table.schema, on_denied="null") == [{"id": 1, "pay": None}, {"id": 2, "pay": None}]
    assert spark_like.rows(pa.schema([table.schema.field("id")]), columns="id") == [{"id": 1}, {"id": 2}]


def test_a_changed_parquet_file_under_its_own_encryption_is_refused_whole(spark_like, keys):
    write_dataset(TABLE, spark_like.folder, open_keys(keys), "people")
    [path] = spark_like.folder.glob("*.parquet")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataFilesChanged, match=re.escape(path.name)):
        spark_like.rows(TABLE.schema)


def test_a_task_that_fails_leaves_nothing(spark_like):
    writer = spark_like.writer(pa.table({"t": ["x"]}), kind="text")

    def rows():
        yield from pa.table({"t": ["x"]}).to_batches()
        raise OSError("the machine is gone")

    with pytest.raises(OSError, match="gone"):
        writer.write(rows())
    assert [path for path in spark_like.folder.rglob("*") if path.is_file()] == []


def test_an_aborted_or_killed_job_leaves_what_was_there(spark_like, parts):
    before = {path.name: path.read_bytes() for path in spark_like.folder.iterdir()}
    killed = spark_like.writer(TABLE, overwrite=True)
    killed.write(iter(TABLE.to_batches()))
    assert len(spark_like.rows(TABLE.schema)) == 3000
    aborted = spark_like.writer(TABLE)
    aborted.abort([aborted.write(iter(TABLE.to_batches()))])
    killed.abort([])
    assert {path.name: path.read_bytes() for path in spark_like.folder.iterdir()} == before


def test_what_a_killed_commit_left_is_no_row_and_is_removed_by_the_next(spark_like, parts):
    left = spark_like.folder / parts[0].name.replace("part-00000", "part-77777")
    left.write_bytes(parts[0].read_bytes())
    write_pending(folder_of(str(spark_like.folder)), Pending(frozenset({left.name})))
    assert len(spark_like.rows(TABLE.schema)) == 3000
    spark_like.write(TABLE)
    assert len(spark_like.rows(TABLE.schema)) == 6000
    assert not left.exists()


def test_of_two_attempts_of_a_task_the_committed_one_counts(spark_like):
    writer = spark_like.writer(TABLE, kind="csv")
    attempts = [writer.write(iter(TABLE.to_batches())) for _ in range(2)]
    writer.commit([None, attempts[1]])
    assert len(spark_like.rows(TABLE.schema)) == 3000
    assert len([*spark_like.folder.iterdir()]) == 2


def test_of_two_jobs_the_slower_one_writes_nothing(spark_like, parts):
    slow, fast = spark_like.writer(TABLE), spark_like.writer(TABLE)
    written = slow.write(iter(TABLE.to_batches()))
    fast.commit([fast.write(iter(TABLE.to_batches()))])
    with pytest.raises(CommittedMeanwhile):
        slow.commit([written])
    assert len(spark_like.rows(TABLE.schema)) == 6000


def test_files_that_are_no_data_set_are_neither_read_nor_overwritten(spark_like):
    spark_like.folder.mkdir()
    (spark_like.folder / "mine.txt").write_text("mine")
    with pytest.raises(NoDataSet):
        spark_like.schema()
    with pytest.raises(DataSetThere):
        spark_like.write(TABLE, overwrite=True)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"kind": "json"}, "is csv, not json"), ({"key": "pay"}, "under key people, not pay")],
    ids=["kind", "key"],
)
def test_other_data_is_not_appended(spark_like, parts, options, what):
    with pytest.raises(BadSourceOption, match=what):
        spark_like.writer(TABLE, **options)


def test_a_key_has_to_be_named_and_a_type_to_fit(spark_like):
    with pytest.raises(BadSourceOption, match="primary key"):
        spark_like.writer(TABLE, key="")
    nested = pa.table({"a": [[1, 2]]})
    with pytest.raises(RowsNotWritten, match="column a"):
        spark_like.write(nested, kind="csv")
    with pytest.raises(RowsNotWritten, match="NaN"):
        spark_like.write(pa.table({"a": [float("nan")]}), kind="json")
