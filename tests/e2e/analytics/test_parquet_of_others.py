"""Parquet that an owner sealed as it was: Spark's rows of the same files in clear, or a refusal that says why."""

import pytest

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")

WRITING = ("spark.sql.parquet.datetimeRebaseModeInWrite", "spark.sql.parquet.int96RebaseModeInWrite")
ROWS = """
select id, if(id = 0, null, timestamp_ntz'2024-03-10 02:30:00') local, date_add('{day}', int(id)) Born,
  timestamp'{day} 10:00:00' seen, if(id = 1, null, named_struct('City', 'Bonn')) home from range(3)
"""
WANTED = "BORN date, seen timestamp, local timestamp_ntz, home struct<city: string>, id bigint"


@pytest.fixture
def both(trusted_session, primary_keys, tmp_path):
    """Return what writes rows in clear, seals the files, and gives readers for both places."""
    from strongroom.analytics.keys.opening import open_keys
    from strongroom.analytics.sealing.write import DatasetWriter
    from strongroom.datasets.manifest import Kind

    spark = trusted_session.spark
    keys = f"file:{primary_keys}"
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "America/New_York")

    def readers(day, mode):
        for name in WRITING:
            spark.conf.set(name, mode)
        spark.sql(ROWS.format(day=day)).coalesce(1).write.parquet(str(tmp_path / "clear"))
        with DatasetWriter(tmp_path / "sealed", open_keys(keys), name="d", key="people", kind=Kind.PARQUET) as writer:
            for path in (tmp_path / "clear").glob("*.parquet"):
                writer.add(path, path.name)
            writer.commit()
        clear, sealed = spark.read.format("parquet"), spark.read.format("sealed").option("keys", keys)
        return [(each, str(tmp_path / place)) for each, place in ((clear, "clear"), (sealed, "sealed"))]

    yield readers
    spark.conf.set("spark.sql.session.timeZone", before)
    for name in WRITING:
        spark.conf.unset(name)


def rows(frame):
    texts = [f"cast(`{name}` as string)" for name in frame.columns]  # Python has no days before its year 1
    return frame.dtypes, sorted(map(tuple, frame.selectExpr(*texts).collect()), key=str)


@pytest.mark.parametrize(("day", "mode"), [("1200-02-27", "CORRECTED"), ("1999-02-27", "LEGACY")])
def test_rows_are_those_of_the_files_in_clear(both, day, mode):
    clear, sealed = (
        [rows(reader.load(place)), rows(reader.schema(WANTED).load(place))] for reader, place in both(day, mode)
    )
    assert sealed == clear
    assert all("Bonn" in str(found) for _, found in clear)


def test_days_of_sparks_former_calendar_are_not_shifted(both):
    _, (sealed, place) = both("1200-02-27", "LEGACY")
    with pytest.raises(Exception, match="column Born has days of a calendar that Spark gave up") as refused:
        sealed.load(place).select("Born").collect()
    assert "SR-DATA-ROWS" in str(refused.value)
