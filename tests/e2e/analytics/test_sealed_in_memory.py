"""Sealed Parquet that Spark's own reader reads, from verified copies in the session's memory."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest

from strongroom.cli import main

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

COLUMNS = """id, cast(id % 3 = 0 as boolean) b, cast(id as tinyint) t, cast(id as int) i, cast(id as float) f,
             if(id = 3, double('NaN'), id / 7) d, if(id = 4, null, concat('person ', id)) s,
             cast(cast(id as string) as binary) y,
             date_add('1500-01-01', int(id * 90000)) day, timestamp_seconds(id * 1e9 + 0.000001) at,
             cast(id / 8 as decimal(12, 3)) small, cast(id as decimal(38, 2)) big"""


@pytest.fixture
def context(trusted_session):
    """Lend a context of the shared session, whose copies are dropped."""
    from strongroom.analytics import StrongroomContext

    with StrongroomContext(trusted_session.spark) as found:
        yield found
        found.drop_copies()


@pytest.fixture
def rows(context):
    """Return ten rows with a column of each plain type."""
    return context.spark.range(0, 10, 1, 2).selectExpr(*_split(COLUMNS))


@pytest.fixture
def place(context, rows, tmp_path):
    """Return where those rows are sealed."""
    context.write(rows, "sealed", "people").parquet(str(tmp_path / "data"))
    return tmp_path / "data"


def _split(text):
    found, depth = [""], 0
    for letter in text.replace("\n", " "):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            found.append("")
        else:
            found[-1] += letter
    return found


def plan(df):
    """Return how Spark reads a DataFrame."""
    return df._jdf.queryExecution().executedPlan().toString()


def told(df):
    """Return all rows as text: NaN equals itself so."""
    return sorted(repr(row) for row in df.collect())


def test_every_plain_type_comes_back_and_filters_reach_sparks_own_reader(context, rows, place):
    found = context.read("sealed", "people").parquet(str(place))
    assert found.dtypes == rows.dtypes
    assert told(found) == told(rows) == told(context.read().option("partitioning", "files").parquet(str(place)))
    assert found.filter("id = 0").select("day").first()[0] == dt.date(1500, 1, 1)
    few = found.filter("id between 2 and 3").select("s")
    assert "PushedFilters: [IsNotNull(id), GreaterThanOrEqual(id,2)" in plan(few)
    assert "ReadSchema: struct<id:bigint,s:string>" in plan(few)
    assert (few.count(), found.count()) == (2, 10)
    assert few.union(found.filter("id > 8").select("s")).count() == 3


def test_copies_are_private_in_the_sessions_memory_shared_and_dropped(context, place):
    from strongroom.sparkjobs.properties import FOLDER

    session = Path(context.spark.sparkContext.getConf().get(FOLDER))
    one = context.read().parquet(str(place))
    (copy,) = (session / "opened").iterdir()
    assert {path.stat().st_mode & 0o777 for path in (copy, copy.parent)} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir()} == {0o600}
    other = context.read().parquet(str(place))
    assert sorted(other.inputFiles()) == sorted(one.inputFiles())
    assert len(list((session / "opened").iterdir())) == 1
    context.drop_copies()
    assert not (session / "opened").exists()


def test_a1_a_changed_file_is_refused_before_a_row_and_leaves_nothing(context, place):
    from strongroom.analytics.context.in_memory import copies_of
    from strongroom.errors import Tampered

    path = max(place.glob("part-*"))
    whole = path.read_bytes()
    for at in (0, 40, 5000, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(Tampered, match=path.name):
            context.read().parquet(str(place))
    path.unlink()
    with pytest.raises(Tampered, match=path.name):
        context.read().parquet(str(place))
    folder = copies_of(context.spark).folder
    assert not folder.exists() or not list(folder.iterdir())


def test_an_old_generation_and_another_key_are_refused_in_memory_and_in_the_workers(context, place):
    from strongroom.analytics.sealing.read import OtherDataSet
    from strongroom.datasets.manifest import DataSetOld

    with pytest.raises(OtherDataSet, match="people, not other"):
        context.read("sealed", "other").parquet(str(place))
    with pytest.raises(Exception, match="people, not other"):
        context.read("sealed", "other").option("columns", "id").parquet(str(place)).collect()
    with pytest.raises(DataSetOld):
        context.read().option("min_generation", 2).parquet(str(place))


def test_what_spark_would_read_otherwise_goes_the_way_of_format_sealed(context, place, primary_keys, tmp_path):
    nested = context.spark.sql("select 1 id, array(1, 2) many, named_struct('a', 1) one")
    context.write(nested, "sealed", "people").parquet(str(tmp_path / "nested"))
    found = context.read().parquet(str(tmp_path / "nested"))
    assert "FileScan parquet" not in plan(found)
    assert told(found) == told(nested)
    parts = context.spark.sql("select 1 id, 'a' s, date'2024-01-02' day union all select 2, 'b', date'2024-01-03'")
    parts.write.partitionBy("day").parquet(str(tmp_path / "parts"))
    words = ["data", "seal", str(tmp_path / "parts"), "--out", str(tmp_path / "sealed"), "--key", "people"]
    assert main([*words, "--keys", f"file:{primary_keys}", "--schema", "id int, s string, day date"]) == 0
    assert told(context.read().parquet(str(tmp_path / "sealed"))) == told(parts)
    for reader in (context.read().schema("id bigint"), context.read().option("columns", "id")):
        assert "FileScan parquet" not in plan(reader.parquet(str(place)))
    assert "FileScan parquet" in plan(context.read().parquet(str(place)))


def test_what_leaves_too_little_memory_is_not_opened_in_it(context, rows, place, monkeypatch):
    from strongroom.analytics.context import in_memory

    monkeypatch.setattr(in_memory, "_fits", lambda folder, sizes: not list(sizes))
    found = context.read().parquet(str(place))
    assert all(path.startswith("sealed://") for path in found.inputFiles())
    assert told(found) == told(rows)
