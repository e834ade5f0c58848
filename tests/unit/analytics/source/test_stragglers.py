"""Tasks that outlive their job: Spark ends a job while others of its tasks still write, and nothing of them stays."""

import threading
from contextlib import ExitStack

import pyarrow as pa
import pytest

from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.source.places import ArrowFolder

TABLE = pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]})


def left_in(folder):
    return sorted(each.name for each in folder.rglob("*")) if folder.exists() else []


@pytest.mark.parametrize("kind", ["json", "parquet"])
@pytest.mark.parametrize("remote", [False, True])
def test_a_task_that_begins_after_its_job_was_aborted_brings_nothing_back(spark_like, monkeypatch, remote, kind):
    if remote:
        monkeypatch.setattr(
            "strongroom.analytics.source.places.LocalFolder", lambda path: ArrowFolder(f"file://{path}")
        )
    writer = spark_like.writer(TABLE, kind=kind)
    writer.abort([])
    with pytest.raises(FileNotFoundError):
        writer.write(iter(TABLE.to_batches()))
    assert left_in(spark_like.folder) == []


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_task_whose_job_is_aborted_meanwhile_leaves_nothing(spark_like, kind):
    writer = spark_like.writer(TABLE, kind=kind)

    def batches():
        yield from TABLE.to_batches()
        assert left_in(spark_like.folder) != []
        writer.abort([])
        yield from TABLE.to_batches()

    with pytest.raises(FileNotFoundError):
        writer.write(batches())
    assert left_in(spark_like.folder) == []


def test_a_folder_goes_while_others_make_files_in_it(tmp_path):
    folder, ended, began = LocalFolder(tmp_path), [], threading.Barrier(4)
    folder.make("_strongroom-1")

    def straggle(number):
        began.wait()
        with ExitStack() as drafts:
            try:
                for at in range(100_000):
                    draft = folder.create(f"_strongroom-1/{number}-{at}", folders=False)
                    drafts.callback(draft.discard)
                    draft.write_at(b"x", 0)
                    draft.commit()
            except FileNotFoundError as gone:
                ended.append(gone)

    tasks = [threading.Thread(target=straggle, args=(number,)) for number in range(3)]
    for task in tasks:
        task.start()
    began.wait()
    folder.remove("_strongroom-1")
    for task in tasks:
        task.join(60)
    assert len(ended) == 3
    assert left_in(tmp_path) == []


def test_what_is_made_is_there_for_files_and_may_be_made_twice(tmp_path):
    for folder in (LocalFolder(tmp_path / "a"), ArrowFolder(f"file://{tmp_path}/b")):
        folder.make("x")
        folder.make("x")
        draft = folder.create("x/f", folders=False)
        draft.write_at(b"here", 0)
        draft.commit()
        assert folder.read("x/f", limit=9) == b"here"
