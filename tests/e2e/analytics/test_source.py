"""Format sealed in a real Spark: planned by the driver, read and written by its Python workers."""

from pathlib import Path

import pytest

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")


@pytest.fixture(scope="module")
def spark(trusted_session):
    """Return a session that knows format sealed."""
    from strongroom.analytics.source import register

    register(trusted_session.spark)
    return trusted_session.spark


@pytest.fixture
def keys(primary_keys):
    """Return the options of keys that are files."""
    return {"keys": f"file:{primary_keys}"}


@pytest.fixture
def people(spark):
    """Return 2000 rows in two partitions."""
    return spark.range(0, 2000, 1, 2).selectExpr(
        "id", "concat('person ', id) name", "cast(id / 7 as decimal(10, 2)) pay", "date_add('2000-01-01', int(id)) born"
    )


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_frame_comes_back_and_its_filters_run_in_the_workers(spark, people, keys, tmp_path, kind):
    place = f"file:{tmp_path / 'data'}"
    people.write.format("sealed").options(kind=kind, key="people", **keys).mode("append").save(place)
    people.write.format("sealed").options(**keys).mode("append").save(place)
    found = spark.read.format("sealed").options(min_generation=2, **keys).load(place)
    assert found.dtypes == people.dtypes
    assert found.exceptAll(people.union(people)).isEmpty()
    assert found.count() == 4000
    few = spark.read.format("sealed").options(columns="pay,id", pushdown=True, **keys).load(place)
    few = few.filter("id between 10 and 12")
    assert sorted(row.id for row in few.collect()) == [10, 10, 11, 11, 12, 12]
    assert " Filter (" not in few._jdf.queryExecution().executedPlan().toString()
    assert not list((tmp_path / "data").glob("_strongroom-*"))


def test_a_filter_of_one_query_is_none_of_the_next(spark, people, keys, tmp_path):
    people.write.format("sealed").options(kind="csv", key="people", **keys).mode("append").save(str(tmp_path / "data"))
    found = spark.read.format("sealed").options(**keys).load(str(tmp_path / "data"))
    few = found.filter("id between 10 and 12")
    assert few.count() == 3
    assert found.count() == 2000
    assert few.union(found.filter("id > 1990")).count() == 3 + 9


def test_a_changed_block_fails_the_job_which_names_the_file_and_no_value(spark, people, keys, tmp_path):
    place = tmp_path / "data"
    people.write.format("sealed").options(kind="csv", key="people", **keys).mode("append").save(str(place))
    path = max(place.glob("part-*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Exception, match=path.name) as failed:
        spark.read.format("sealed").options(**keys).load(str(place)).collect()
    assert "Tampered" in str(failed.value)
    assert "person" not in str(failed.value)


def test_a_job_that_fails_leaves_the_data_set_as_it_was(spark, people, keys, tmp_path):
    place = tmp_path / "data"
    people.write.format("sealed").options(kind="json", key="people", **keys).mode("append").save(str(place))
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    broken = people.selectExpr("id", "name", "if(id = 1999, raise_error('no'), pay) pay", "born")
    with pytest.raises(Exception, match="no"):
        broken.write.format("sealed").options(key="people", **keys).mode("overwrite").save(str(place))
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_a_key_that_was_not_granted_fails_the_plan(spark, people, keys, tmp_path):
    with pytest.raises(Exception, match="KeyNotGranted"):
        people.write.format("sealed").options(key="nobody", **keys).mode("append").save(str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_workers_take_pyspark_with_its_bytecode(spark):
    """Spark's archive has none, and a worker would compile for two thirds of a second."""

    def look(_):
        import pyspark

        return type(pyspark.__loader__).__name__, Path(pyspark.__cached__).exists()

    assert spark.sparkContext.parallelize([0], 1).map(look).collect() == [("SourceFileLoader", True)]
