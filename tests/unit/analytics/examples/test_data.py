"""What the examples work on: the same by the same seed, right in itself, and refused where it is not there."""

import csv
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from strongroom.analytics.examples import Asked, find
from strongroom.analytics.examples.data import ExampleData, counted, half_hours, people, tables, text, tpch_extension
from strongroom.analytics.examples.runner import programs


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("size", [48, 10_320, 1001])
def test_half_hours_follow_each_other(tmp_path, size):
    rows = rows_of(half_hours(Asked(seed=3, size=size), tmp_path))
    assert len(rows) == size
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    assert times[0] == datetime.fromisoformat("2014-07-01")
    assert all(later - earlier == timedelta(minutes=30) for earlier, later in pairwise(times))
    assert all(int(row["value"]) >= 0 for row in rows)


def test_nights_are_quiet_and_evenings_are_not(tmp_path):
    rows = rows_of(half_hours(Asked(size=4_800), tmp_path))
    mean = {hour: sum(int(row["value"]) for row in rows if row["timestamp"][11:13] == hour) for hour in ("04", "19")}
    assert 2 * mean["04"] < mean["19"]


def test_the_same_seed_gives_the_same_and_another_does_not(tmp_path):
    made = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append((
            half_hours(Asked(seed=seed, size=100), folder).read_bytes(),
            text(Asked(seed=seed, size=50), folder, otherwise=tmp_path).read_bytes(),
            (people(Asked(seed=seed, size=5), folder, otherwise=programs()) / "people.json").read_bytes(),
        ))  # fmt: skip
    assert made[0] == made[1]
    assert not set(made[0]) & set(made[2])


def test_generated_people_stand_behind_the_three(tmp_path):
    folder = people(Asked(seed=1, size=40), tmp_path, otherwise=programs())
    for name in ("people.json", "people.txt"):
        lines = (folder / name).read_text().splitlines()
        assert len(lines) == 43
        assert lines[:3] == (programs() / name).read_text().splitlines()
        assert not any("Justin" in line for line in lines[3:])


def test_words_of_a_text_are_counted_as_spaces_divide_them(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"a  b a\r\nb: 1\n\n\ta\n")
    assert counted(path) == Counter({"a": 2, "b": 1, "b:": 1, "1": 1, "\ta": 1})
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ExampleData, match="UTF-8") as raised:
        counted(path)
    assert raised.value.code == "SR-EXAMPLE-DATA"


@pytest.mark.parametrize("name", ["wordcount", "sql", "tpch", "time-series", "mllib", "lenet", "text-classification"])
def test_data_that_are_not_there_are_refused(name, tmp_path):
    with pytest.raises(ExampleData):
        find(name).prepare(Asked(size=100, data=tmp_path / "nothing"), tmp_path, programs())


def test_a_folder_that_lacks_a_table_is_refused_by_its_name(tmp_path):
    (tmp_path / "customer.parquet").touch()
    with pytest.raises(ExampleData, match=r"lineitem\.parquet"):
        tables(Asked(data=tmp_path), tmp_path)


@pytest.mark.parametrize("scale", [0, -1, 1e9, float("nan")])
def test_a_scale_that_is_none_is_refused(scale, tmp_path):
    with pytest.raises(Exception, match="scale") as raised:
        tables(Asked(size=scale), tmp_path)
    assert raised.value.code == "SR-EXAMPLE-SIZE"


def test_the_generator_makes_eight_tables(tmp_path):
    pytest.importorskip("duckdb")
    import pyarrow.parquet as pq

    assert tpch_extension().is_file()
    folder = tables(Asked(size=0.001), tmp_path)
    made = {path.stem: pq.read_metadata(path).num_rows for path in folder.glob("*.parquet")}
    assert len(made) == 8
    assert (made["region"], made["nation"], made["customer"]) == (5, 25, 150)
