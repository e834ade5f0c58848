"""Manifests of Parquet data sets: what they let pass and what they name."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.parquet.folder import LocalFolder
from strongroom.analytics.parquet.pinned import (
    PinnedWriter,
    Wanted,
    dataset_name,
    open_pinned,
)
from strongroom.analytics.sealing.commit import CommittedMeanwhile, DataSetThere
from strongroom.analytics.sealing.read import NoDataSet, OtherDataSet
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FILE_NAME, DataFilesChanged, DataManifestForged, DataSetOld, Pins
from strongroom.datasets.paths import BadDataPath

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FILES = {"part-0.parquet": b"zero", "day=1/part-1.parquet": b"one"}


@pytest.fixture
def folder(tmp_path):
    """An empty folder."""
    return LocalFolder(tmp_path / "people")


@pytest.fixture
def put(folder, keys):
    """Commit files with these contents."""

    def committed(files=FILES, schema="", **options):
        with PinnedWriter(folder, keys, **{"key": "people", **options}) as writer:
            for path, content in files.items():
                place = folder.path / writer.staging / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            (folder.path / writer.staging / "_SUCCESS").touch()
            return writer.commit(now=NOW, schema=schema)

    return committed


def test_what_was_committed_is_found(folder, put, keys):
    put(schema="a INT")
    found = open_pinned(folder, keys, Wanted("people", "people", 1))
    assert found.paths == sorted(FILES)
    assert found.schema == "a INT"
    assert found.manifest.pins is Pins.SHA256
    assert sorted(path.name for path in folder.path.iterdir()) == [FILE_NAME, "day=1", "part-0.parquet"]


def test_each_generation_names_the_one_before(folder, put, keys):
    first = put()
    second = put({"part-2.parquet": b"two"}, append=True)
    assert (second.generation, second.previous, second.key_id) == (2, first.mac, first.key_id)
    assert len(open_pinned(folder, keys).paths) == 3
    third = put({"part-3.parquet": b"three"})
    assert (third.generation, third.previous) == (3, second.mac)
    assert open_pinned(folder, keys).paths == ["part-3.parquet"]
    assert not list(folder.path.rglob("part-[012].parquet"))


def test_a_folder_brought_back_as_a_whole_is_told_by_its_generation(folder, put, keys):
    put()
    with pytest.raises(DataSetOld, match="generation 1"):
        open_pinned(folder, keys, Wanted(min_generation=2))


@pytest.mark.parametrize(
    ("attack", "named"),
    [
        (lambda root: (root / "part-0.parquet").unlink(), "part-0.parquet is missing"),
        (lambda root: (root / "part-9.parquet").write_bytes(b"nine"), "part-9.parquet was added"),
        (lambda root: (root / "part-0.parquet").write_bytes(b"zer"), "part-0.parquet has 3 bytes"),
        (lambda root: (root / "part-0.parquet").write_bytes(b"zerO"), "part-0.parquet is not the file"),
        (lambda root: (root / "part-0.parquet").rename(root / "part-1.parquet"), "part-0.parquet is missing"),
        (lambda root: (root / "link.parquet").symlink_to("part-0.parquet"), "link.parquet"),
        (lambda root: (root / "folder.parquet").symlink_to("day=1"), "folder.parquet"),
    ],
    ids=["missing", "added", "cut", "changed", "renamed", "link", "linked folder"],
)
def test_kd_25_changed_folders_are_refused_by_the_files_name(folder, put, keys, attack, named):
    put()
    attack(folder.path)
    with pytest.raises(DataFilesChanged, match=named):
        open_pinned(folder, keys)


def test_two_files_of_one_size_cannot_be_exchanged(folder, put, keys):
    put({"a.parquet": b"one", "b.parquet": b"two"})
    one, two = folder.path / "a.parquet", folder.path / "b.parquet"
    one.write_bytes(b"two")
    two.write_bytes(b"one")
    with pytest.raises(DataFilesChanged, match=r"a\.parquet"):
        open_pinned(folder, keys)


def test_a_forged_manifest_is_refused(folder, put, keys):
    put()
    place = folder.path / FILE_NAME
    place.write_bytes(place.read_bytes().replace(b'"generation":1', b'"generation":9'))
    with pytest.raises(DataManifestForged):
        open_pinned(folder, keys)


def test_a_folder_without_manifest_is_no_data_set(folder, keys):
    with pytest.raises(NoDataSet, match=FILE_NAME) as caught:
        open_pinned(folder, keys)
    assert caught.value.code == "SR-DATA-SET"


def test_another_data_set_under_the_same_key_is_refused_where_its_name_is_asked_for(folder, put, keys):
    put(name="others")
    for wanted, seen in ((Wanted(name="people"), "others"), (Wanted(key="pay"), "under primary key people")):
        with pytest.raises(OtherDataSet, match=seen) as caught:
            open_pinned(folder, keys, wanted)
    assert caught.value.code == "SR-DATA-OTHER"


def test_a_reader_without_the_key_gets_nothing(folder, put, rings):
    put()
    with pytest.raises(KeyNotGranted):
        open_pinned(folder, RingKeys([rings["pay"]]))


def test_nothing_is_appended_to_what_is_not_whole(folder, put, keys):
    put()
    (folder.path / "part-0.parquet").unlink()
    with pytest.raises(DataFilesChanged, match="missing"):
        put({"part-2.parquet": b"two"}, append=True)
    assert not (folder.path / "part-2.parquet").exists()


def test_nothing_is_appended_to_files_that_no_manifest_names(folder, put):
    folder.path.mkdir()
    (folder.path / "plain.parquet").write_bytes(b"plain")
    with pytest.raises(DataFilesChanged, match="no manifest"):
        put(append=True)


def test_nothing_is_appended_under_another_key(put):
    put()
    with pytest.raises(OtherDataSet, match="not pay"):
        put({"part-2.parquet": b"two"}, append=True, key="pay")


def test_overwriting_needs_the_key_of_what_is_there_so_that_generations_go_on(folder, put, rings):
    put()
    with pytest.raises(KeyNotGranted):
        PinnedWriter(folder, RingKeys([rings["pay"]]), key="pay")


def test_plain_files_are_removed_when_a_folder_is_written_over(folder, put, keys):
    folder.path.mkdir()
    (folder.path / "plain.parquet").write_bytes(b"plain")
    put()
    assert open_pinned(folder, keys).paths == sorted(FILES)
    assert not (folder.path / "plain.parquet").exists()


def test_of_two_writers_the_slower_one_writes_nothing(folder, put, keys):
    slow, empty = PinnedWriter(folder, keys, key="people"), PinnedWriter(folder, keys, key="people", append=True)
    put()
    for writer in (slow, empty):
        (folder.path / writer.staging).mkdir()
        (folder.path / writer.staging / "slow.parquet").write_bytes(b"slow")
        with writer, pytest.raises(CommittedMeanwhile) as refused:
            writer.commit(now=NOW)
    assert refused.value.code == "SR-DATA-RACE"
    assert open_pinned(folder, keys).paths == sorted(FILES)
    assert sorted(path.name for path in folder.path.iterdir()) == [FILE_NAME, "day=1", "part-0.parquet"]


def test_plain_files_that_came_meanwhile_are_not_removed(folder, keys):
    with PinnedWriter(folder, keys, key="people") as writer:
        (folder.path / writer.staging).mkdir(parents=True)
        (folder.path / "mine.parquet").write_bytes(b"mine")
        with pytest.raises(CommittedMeanwhile, match="other files"):
            writer.commit(now=NOW)
    assert [path.name for path in folder.path.iterdir()] == ["mine.parquet"]


def test_a_name_that_is_taken_is_not_written_over(folder, put, keys):
    put()
    with pytest.raises(DataSetThere, match="part-0"):
        put({"part-0.parquet": b"other"})
    assert open_pinned(folder, keys).paths == sorted(FILES)


def test_files_of_several_schemas_have_no_written_one(folder, put, keys):
    put(schema="a INT")
    put({"part-2.parquet": b"two"}, append=True, schema="a INT")
    assert open_pinned(folder, keys).schema == "a INT"
    put({"part-3.parquet": b"three"}, append=True, schema="a INT,b INT")
    assert open_pinned(folder, keys).schema == ""


def test_a_manifest_that_cannot_be_written_leaves_no_files(folder, put, keys, monkeypatch):
    put({"part-0.parquet": b"zero"})

    replace = LocalFolder.replace

    def full(self: LocalFolder, path: str, content: bytes) -> None:
        if path == FILE_NAME:
            raise OSError("no space left")
        replace(self, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(LocalFolder, "replace", full)
        with pytest.raises(OSError, match="no space"):
            put({"part-2.parquet": b"two"}, append=True)
    assert open_pinned(folder, keys).paths == ["part-0.parquet"]


def test_a_file_that_is_called_otherwise_than_data_is_not_committed(put):
    with pytest.raises(BadDataPath):
        put({"part-0.par\nquet": b"zero"})


@pytest.mark.parametrize(
    ("address", "name"),
    [("file:/data/people", "people"), ("/data/people/", "people"), ("hdfs://host/a b", "a-b"), ("s3a://x/..", "data")],
)
def test_a_data_set_is_called_as_its_folder(address, name):
    assert dataset_name(address) == name


def test_an_unreadable_file_is_named(folder):
    with pytest.raises(DataFilesChanged, match=r"gone\.parquet"):
        folder.digests(["gone.parquet"])


def test_what_is_not_there_counts_as_removed(folder):
    folder.remove("nothing", "nowhere/nothing")
    with pytest.raises(FileNotFoundError):
        folder.read("nothing", limit=1)
    assert folder.sizes() == {}
    assert folder.address() == str(Path(folder.path))


def test_another_owners_manifest_does_not_open(folder, put):
    put()
    with pytest.raises(Exception, match=r"people\.1"):
        open_pinned(folder, RingKeys([KeyRing.fresh("people")]))


def test_a_commit_that_is_interrupted_behind_its_manifest_counts(folder, put, keys, monkeypatch):
    replace = type(folder).replace

    def interrupted(self, path, content):
        replace(self, path, content)
        if path == FILE_NAME:
            raise KeyboardInterrupt

    monkeypatch.setattr(type(folder), "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put()
    assert open_pinned(folder, keys).paths == sorted(FILES)


def test_a_commit_that_is_interrupted_before_its_manifest_leaves_nothing(folder, put, monkeypatch):
    def interrupted(self, path, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(folder), "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        put()
    assert [path for path in folder.sizes() if not path.startswith("_")] == []
