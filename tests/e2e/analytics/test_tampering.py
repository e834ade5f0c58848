"""One table of what somebody can do to a data set's folder, tried on every way to read one."""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from strongroom.datasets.manifest import FILE_NAME

pytest.importorskip("pyspark", reason="needs pip install 'strongroom[analytics]'")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROWS = 6000
# What an error of a changed folder is called, in Spark's traces too; never "a value does not fit" or an empty result.
NAMED = ("DataFilesChanged", "DataManifestForged", "DataSetOld", "OtherDataSet", "NoDataSet", "Tampered",
         "BadDataManifest", "WrappedKeyRefused", "FolderNotReached", "sealed.Refusal: SR-SEALED-DATA")  # fmt: skip


IN_SPARK = ("third block", "last byte", "two exchanged")  # of tasks' own Python, tried in a real Spark, too


class Route(NamedTuple):
    """How a data set is written and read: mode, kind of file, and by whom."""

    mode: str
    kind: str
    by: str = "spark"
    options: tuple[tuple[str, str], ...] = ()


GROUPS = (("partitioning", "rowgroups"),)
ROUTES = {
    "jvm-gcm": Route("AES_GCM_V1", "parquet"),
    "jvm-ctr": Route("AES_GCM_CTR_V1", "parquet"),
    "in-memory": Route("sealed", "parquet"),
    "in-jvm": Route("sealed", "parquet", "jvms"),
    "pyarrow": Route("AES_GCM_CTR_V1", "parquet", "pyarrow"),
    "encrypted-by-tasks": Route("AES_GCM_CTR_V1", "parquet", "tasks"),
    "parquet-by-tasks": Route("sealed", "parquet", "tasks", GROUPS),
    "csv-by-tasks": Route("sealed", "csv", "tasks"),
    "json-by-tasks": Route("sealed", "json", "tasks"),
    "text-by-tasks": Route("sealed", "text", "tasks"),
    "parquet-in-workers": Route("sealed", "parquet", "workers", GROUPS),
    "csv-in-workers": Route("sealed", "csv", "workers"),
}


class Sets(NamedTuple):
    """A data set in its second generation, what its first was, and another one under the same key."""

    now: Path
    old: Path
    other: Path


@pytest.fixture(scope="module")
def context(trusted_session):
    """Return a context of the session."""
    from strongroom.analytics import StrongroomContext

    with StrongroomContext(trusted_session.spark) as found:
        yield found


@pytest.fixture(scope="module", params=ROUTES)
def way(request, context, tmp_path_factory, primary_keys):
    """Return a route's name, how it reads a folder, and its three data sets."""
    from strongroom.analytics import StrongroomContext

    route, base = ROUTES[request.param], tmp_path_factory.mktemp(request.param)

    def write(folder, start, mode="overwrite"):
        column = "cast(id * 7919 as string) value"
        columns = [column] if route.kind == "text" else ["id", column]
        rows = context.spark.range(start, start + ROWS, 1, 2).selectExpr(*columns)
        getattr(context.write(rows, route.mode, "people").mode(mode).option("name", "set"), route.kind)(str(folder))

    def read(folder, min_generation=2):
        if route.by == "pyarrow":
            return by_pyarrow(folder, primary_keys, min_generation)
        if route.by == "tasks":
            return by_tasks(folder, route, primary_keys, min_generation)
        reader = reading.read(route.mode, "people").options(
            name="set", min_generation=min_generation, **dict(route.options)
        )
        return sorted(tuple(row) for row in getattr(reader, route.kind)(str(folder)).collect())

    reading = StrongroomContext(context.spark, in_memory=False) if route.by == "jvms" else context
    sets = Sets(base / "now", base / "old", base / "other")
    write(sets.now, 0)
    shutil.copytree(sets.now, sets.old)
    write(sets.now, 10_000)
    write(sets.other, 10_000)
    assert len(read(sets.now)) == ROWS
    yield request.param, read, sets
    context.drop_copies()
    if reading is not context:
        reading.close()


def by_pyarrow(folder, primary_keys, min_generation):
    """Return the rows that pyarrow reads."""
    from strongroom.analytics.keys.files import FileKeyService
    from strongroom.analytics.parquet.arrow import read_dataset
    from strongroom.analytics.parquet.pinned import Wanted

    found = read_dataset(folder, FileKeyService(primary_keys), wanted=Wanted("people", "set", min_generation))
    return sorted(tuple(row.values()) for row in found.to_pylist())


def by_tasks(folder, route, primary_keys, min_generation):
    """Return the rows that the source reads, here, as a driver and its tasks do."""
    from pyspark.sql.types import StructType

    from strongroom.analytics.source.options import Options
    from strongroom.analytics.source.reader import SealedRowReader, data_schema

    options = Options.parse({"path": str(folder), "keys": f"file:{primary_keys}", "key": "people", "name": "set",
                             "min_generation": str(min_generation), **dict(route.options)})  # fmt: skip
    reader = SealedRowReader(options, StructType.fromDDL(data_schema(options)))
    batches = (batch for partition in reader.partitions() for batch in reader.read(partition))
    return sorted(tuple(row.values()) for batch in batches for row in batch.to_pylist())


def files(folder):
    """Return the data files of a folder, in order."""
    return sorted(path for path in folder.rglob("part-*") if path.is_file())


def flip(path, at):
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def exchange(one, two):
    """Let two files have each other's names."""
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)


def cut(path, by):
    """Make a file shorter, or longer by zeros."""
    os.truncate(path, path.stat().st_size - by)


def in_place(path, make):
    """Put something else where a file is, beside which the file stays readable."""
    path.rename(path.parent.parent / "aside")
    make(path, path.parent.parent / "aside")


ATTACKS = {
    "first byte": lambda now, _: flip(files(now)[0], 0),
    "header": lambda now, _: flip(files(now)[0], 40),
    "first block's end": lambda now, _: flip(files(now)[0], 4095),
    "second block": lambda now, _: flip(files(now)[0], 4100),
    "third block": lambda now, _: flip(files(now)[0], 8200),
    "middle": lambda now, _: flip(files(now)[1], files(now)[1].stat().st_size // 2),
    "before the end": lambda now, _: flip(files(now)[1], -9),
    "last byte": lambda now, _: flip(files(now)[1], -1),
    "one byte less": lambda now, _: cut(files(now)[1], 1),
    "a block less": lambda now, _: cut(files(now)[0], 4096),
    "empty": lambda now, _: files(now)[0].write_bytes(b""),
    "one byte more": lambda now, _: cut(files(now)[0], -1),
    "a block more": lambda now, _: cut(files(now)[1], -4096),
    "two exchanged": lambda now, _: exchange(*files(now)[:2]),
    "one twice": lambda now, _: shutil.copy(files(now)[0], files(now)[1]),
    "another set's file": lambda now, sets: shutil.copy(files(sets.other)[0], files(now)[0]),
    "an older file": lambda now, sets: shutil.copy(files(sets.old)[0], files(now)[0]),
    "added": lambda now, sets: shutil.copy(files(sets.other)[0], now),
    "a copy added": lambda now, _: shutil.copy(files(now)[0], now / "part-99999.copy"),
    "removed": lambda now, _: files(now)[1].unlink(),
    "renamed": lambda now, _: files(now)[0].rename(now / "part-renamed"),
    "in a folder": lambda now, _: ((now / "d").mkdir(), files(now)[0].rename(now / "d" / files(now)[0].name)),
    "a link": lambda now, _: in_place(files(now)[0], lambda path, aside: path.symlink_to(aside)),
    "a link to nothing": lambda now, _: in_place(files(now)[0], lambda path, _: path.symlink_to("nowhere")),
    "a folder": lambda now, _: in_place(files(now)[0], lambda path, _: path.mkdir()),
    "a pipe": lambda now, _: in_place(files(now)[0], lambda path, _: os.mkfifo(path)),
    "no manifest": lambda now, _: (now / FILE_NAME).unlink(),
    "another set's manifest": lambda now, sets: shutil.copy(sets.other / FILE_NAME, now),
    "an older manifest": lambda now, sets: shutil.copy(sets.old / FILE_NAME, now),
    "a changed manifest": lambda now, _: flip(now / FILE_NAME, (now / FILE_NAME).stat().st_size // 2),
    "a cut manifest": lambda now, _: cut(now / FILE_NAME, 1),
    "an older whole": lambda now, sets: (shutil.rmtree(now), shutil.copytree(sets.old, now)),
}  # fmt: skip


def left_in_memory(context):
    """Return the copies in clear that a session has."""
    from strongroom.analytics.context.in_memory import copies_of

    folder = copies_of(context.spark).folder
    return sorted(folder.iterdir()) if folder is not None and folder.exists() else []


def listing(folder):
    """Return everything in a folder."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_kd_25_a1_nothing_of_a_changed_data_set_is_read_or_left(way, context, tmp_path):
    name, read, sets = way
    context.drop_copies()
    came, whole = {}, read(sets.now)
    context.drop_copies()
    for number, attack in enumerate(IN_SPARK if ROUTES[name].by == "workers" else ATTACKS):
        now = tmp_path / str(number) / "now"
        shutil.copytree(sets.now, now)
        ATTACKS[attack](now, sets)
        before = listing(now)
        try:
            rows = read(now)
        except Exception as problem:  # noqa: BLE001  # Spark's own, around ours
            told = f"{type(problem).__mro__} {problem} {getattr(problem, 'java_exception', '')}"
            if not any(each in told for each in NAMED):
                came[attack] = told[:300]
        else:
            # Hadoop's file systems follow links: what is read is what was written, wherever it lies.
            if (name, attack, rows == whole) not in {("jvm-gcm", "a link", True), ("jvm-ctr", "a link", True)}:
                came[attack] = f"{len(rows)} rows"
        assert listing(now) == before
        assert left_in_memory(context) == []
    assert came == {}


@pytest.mark.parametrize("way", ["jvm-ctr", "in-memory", "parquet-in-workers", "csv-in-workers"], indirect=True)
def test_what_was_to_be_written_from_a_changed_data_set_is_not_there(way, context, tmp_path):
    name, _, sets = way
    route, now = ROUTES[name], tmp_path / "now"
    shutil.copytree(sets.now, now)
    flip(files(now)[1], -1)
    context.drop_copies()

    def copy():
        reader = context.read(route.mode, "people").options(**dict(route.options))
        writer = context.write(getattr(reader, route.kind)(str(now)), route.mode, "people")
        getattr(writer, route.kind)(str(tmp_path / "out"))

    with pytest.raises(Exception, match=re.escape(files(now)[1].name)):
        copy()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
