"""A commit that is cut off before any of its durable steps leaves one generation or the next, whoever wrote it."""

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.analytics.keys.files import write_ring
from strongroom.analytics.keys.opening import open_keys
from strongroom.analytics.parquet.arrow import read_dataset, write_dataset
from strongroom.analytics.sealing import pending
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, read_manifest
from strongroom.analytics.sealing.rekey import rewrap
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FILE_NAME, Kind

STEPS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync", "open")
MODES = ("new", "append", "overwrite")
OLD, NEW, LATER = [1, 2], [3, 4], [5]


class Killed(BaseException):
    """The process ended here: whatever it tries afterwards does not happen either."""


@contextmanager
def killed_before(step):
    """Let `step` changes of the file system happen in this block, and none after that."""
    steps, patch = iter(range(step)), pytest.MonkeyPatch()

    def counted(function, name):
        def change(*args, **options):
            if (name != "open" or args[1] & os.O_CREAT) and next(steps, None) is None:
                raise Killed
            return function(*args, **options)

        return change

    for name in STEPS:
        patch.setattr(os, name, counted(getattr(os, name), name))
    try:
        yield
    finally:
        patch.undo()


@contextmanager
def noted():
    """Note what is made durable and what is moved and removed, by names."""
    seen, patch = [], pytest.MonkeyPatch()

    def noting(function, name):
        def change(*args, **options):
            result = function(*args, **options)
            if name == "fsync":
                seen.append((name, Path(f"/proc/self/fd/{args[0]}").readlink()))
            elif "dir_fd" not in options:
                seen.append((name, Path(args[-1])))
            return result

        return change

    for name in ("rename", "replace", "unlink", "fsync"):
        patch.setattr(os, name, noting(getattr(os, name), name))
    try:
        yield seen
    finally:
        patch.undo()


class Sealed:
    """Files and streams of the owner's side, of a job's models, and so on."""

    def __init__(self, keys):
        self.keys = open_keys(keys)

    def write(self, folder, rows, mode):
        how = {"name": "set", "key": "people", "kind": Kind.CSV, "mode": Mode(mode)}
        with DatasetWriter(folder, self.keys, **how) as writer:
            for row in rows:
                path = f"n={row}/{row}.csv"
                with writer.create(path) as sealed:
                    sealed.write(b"%d\n" % row)
                    writer.adopt(sealed.finish(), at=writer.staged(path))
            writer.commit()

    def rows(self, folder):
        with OpenDataset(folder, self.keys) as opened:
            return sorted(int(line) for each in opened.files for line in opened.open(each.path).read().split())


class Tasks(Sealed):
    """Spark's driver and tasks."""

    def __init__(self, keys):
        super().__init__(keys)
        self.reference = keys

    def write(self, folder, rows, mode):
        from strongroom.analytics.source.options import Options
        from strongroom.analytics.source.writer import SealedRowWriter

        table = pa.table({"value": [str(row) for row in rows]})
        options = Options.parse({"path": str(folder), "keys": self.reference, "key": "people", "kind": "text"})
        from pyspark.sql.pandas.types import from_arrow_schema

        writer = SealedRowWriter(options, from_arrow_schema(table.schema), mode == "overwrite")
        try:
            writer.commit([writer.write(iter([each])) for each in table.to_batches(max_chunksize=1)])
        except Exception:
            writer.abort([])
            raise


class Pinned(Sealed):
    """Parquet's own encryption."""

    def write(self, folder, rows, mode):
        write_dataset(pa.table({"n": rows}), folder, self.keys, "people", append=mode == "append")

    def rows(self, folder):
        return sorted(read_dataset(folder, self.keys).column("n").to_pylist())


@pytest.fixture(scope="module", autouse=True)
def _no_disk():
    """Count what is synced without waiting for a disk: no test here ends the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="module", params=[Sealed, Tasks, Pinned], ids=["files", "tasks", "parquet"])
def kind(request, tmp_path_factory):
    if request.param is Tasks:
        pytest.importorskip("pyspark")
    keys = tmp_path_factory.mktemp("keys")
    write_ring(keys, KeyRing.fresh("people"))
    return request.param(f"file:{keys}")


def rows_of(kind, folder):
    try:
        return kind.rows(folder)
    except NoDataSet:
        return []


def after(rows, more, mode):
    return more if mode == "overwrite" else sorted([*rows, *more])


@pytest.mark.parametrize("mode", MODES)
def test_a_commit_that_is_cut_off_before_any_step_leaves_one_generation_or_the_next(kind, mode, tmp_path):
    before = [] if mode == "new" else OLD
    seen = []
    for step in range(200):
        folder = tmp_path / str(step)
        if before:
            kind.write(folder, before, "new")
        try:
            with killed_before(step):
                kind.write(folder, NEW, mode)
        except Killed:
            found = rows_of(kind, folder)
            assert found in (before, after(before, NEW, mode))
            seen.append(found == before)
            more, how = (NEW, mode) if seen[-1] else (LATER, "append")  # again the same, or the next: both go on
            kind.write(folder, more, how)
            assert kind.rows(folder) == after(found, more, how)
            assert not (folder / pending.FILE_NAME).exists()
            shutil.rmtree(folder)
            continue
        assert kind.rows(folder) == after(before, NEW, mode)
        break
    else:
        pytest.fail("a commit has fewer steps")
    assert seen == sorted(seen, reverse=True)  # once the next generation counts, it does
    assert seen[0]
    assert not seen[-1]
    assert len(seen) >= 15
    assert sorted(each.name for each in folder.iterdir() if each.name.startswith(("_", "."))) == [FILE_NAME]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(MODES[1:]), st.integers(0, 60)), min_size=2, max_size=5))
def test_commits_that_are_cut_off_one_after_the_other_lose_nothing(kind, commits):
    with tempfile.TemporaryDirectory() as name:
        folder, rows = Path(name) / "set", []
        for number, (mode, step) in enumerate(commits):
            more = [10 * number, 10 * number + 1]
            with suppress(Killed), killed_before(step):
                kind.write(folder, more, mode)
            found = rows_of(kind, folder)
            assert found in (rows, after(rows, more, mode))
            rows = found
        kind.write(folder, LATER, "append")
        assert kind.rows(folder) == after(rows, LATER, "append")


def test_a_rewrapping_that_is_cut_off_before_any_step_leaves_the_data_under_one_key_or_the_next(tmp_path):
    ring = KeyRing.fresh("people")
    write_ring(tmp_path / "keys", ring)
    Sealed(f"file:{tmp_path / 'keys'}").write(tmp_path / "base", OLD, "new")
    write_ring(tmp_path / "keys", ring.rotated())
    kind, versions = Sealed(f"file:{tmp_path / 'keys'}"), []
    for step in range(200):
        folder = shutil.copytree(tmp_path / "base", tmp_path / str(step))
        with suppress(Killed), killed_before(step):
            rewrap(folder, kind.keys, "people")
            break
        assert kind.rows(folder) == OLD
        versions.append(read_manifest(folder).key_id.version)
        assert rewrap(folder, kind.keys, "people").key_id.version == 2
        assert kind.rows(folder) == OLD
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}


def test_nothing_counts_before_it_is_durable_and_nothing_goes_before_the_next_generation_is(kind, tmp_path):
    folder = tmp_path / "set"
    kind.write(folder, OLD, "new")
    old = [path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME]
    with noted() as seen:
        kind.write(folder, NEW, "overwrite")
    fresh = [path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME]
    counts = seen.index(("replace", folder / FILE_NAME))
    for path in fresh:
        moved = max(at for at, (step, what) in enumerate(seen) if step == "rename" and what == path)
        assert seen.index(("fsync", path), moved) < counts
        for parent in [each for each in path.parents if each.is_relative_to(folder)]:
            assert seen.index(("fsync", parent), moved) < counts
    durable = seen.index(("fsync", folder), counts)
    assert all(seen.index(("unlink", path)) > durable for path in old)


def test_a_folder_of_plain_files_keeps_them_until_the_first_generation_counts(tmp_path):
    keys = tmp_path / "keys"
    write_ring(keys, KeyRing.fresh("people"))
    kind = Pinned(f"file:{keys}")
    seen = []
    for step in range(200):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "plain.parquet").write_bytes(b"plain")
        try:
            with killed_before(step):
                kind.write(folder, NEW, "overwrite")
        except Killed:
            found = rows_of(kind, folder)
            seen.append(found == [])
            assert found in ([], NEW)
            if not found:
                assert (folder / "plain.parquet").read_bytes() == b"plain"
            kind.write(folder, LATER, "overwrite")
            assert kind.rows(folder) == LATER
            assert not (folder / "plain.parquet").exists()
            continue
        break
    assert seen[0]
    assert not seen[-1]
    assert seen == sorted(seen, reverse=True)
