"""Commits to data sets: whole or not at all, one generation after the other, whatever happens in between."""

import os
import stat
from contextlib import nullcontext
from datetime import UTC, datetime

import pytest

from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.sealing.commit import CommittedMeanwhile, DataSetThere
from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.sealing.read import OpenDataset, read_manifest
from strongroom.analytics.sealing.write import DataSetDiffers, DatasetWriter, Mode, stage
from strongroom.datasets.manifest import DataFilesChanged, Kind, parse_manifest
from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.datasets.paths import BadDataPath

OLD, NEW = {"a.csv": b"1\n"}, {"b.csv": b"2\n", "day=2/c.csv": b"3\n"}


def names(place):
    """Every name below a folder, hidden ones too."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_generations_follow_each_other_by_their_macs(seal, keys, place):
    first = seal(OLD)
    second = seal(NEW, mode=Mode.APPEND)
    assert (first.generation, second.generation) == (1, 2)
    assert (first.previous, second.previous) == (b"", first.mac)
    assert second.wrapped_data_key == first.wrapped_data_key
    third = seal({"d.csv": b"4\n"}, mode=Mode.OVERWRITE)
    assert (third.generation, third.previous) == (3, second.mac)
    assert third.wrapped_data_key != second.wrapped_data_key


def test_appending_keeps_files_and_schema(seal, read, keys, place):
    seal(OLD, schema="n int")
    seal(NEW, mode=Mode.APPEND)
    assert read() == {**OLD, **NEW}
    with OpenDataset(place, keys) as dataset:
        assert dataset.schema == "n int"


def test_overwriting_leaves_only_what_is_new(seal, read, place):
    seal(NEW)
    seal(OLD, mode=Mode.OVERWRITE)
    assert read() == OLD
    assert names(place) == ["_strongroom.json", "a.csv"]


def test_the_manifest_says_when_and_under_what(keys, place):
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with DatasetWriter(place, keys, name="n", key="people", kind=Kind.TEXT, now=lambda: at) as writer:
        assert writer.wrapped[0] == "people.2"
        made = writer.commit()
    assert made == read_manifest(place) == parse_manifest((place / "_strongroom.json").read_bytes())
    assert (made.created, made.kind, made.key_id, made.files) == (at, Kind.TEXT, KeyId("people", 2), ())


def test_large_files_of_this_machine_are_sealed_whole_with_progress(keys, place, read, tmp_path):
    data, heard = os.urandom(3_000_000), []
    (tmp_path / "plain.bin").write_bytes(data)
    with DatasetWriter(place, keys, name="n", key="people", kind=Kind.FILE) as writer:
        writer.add(tmp_path / "plain.bin", "x/plain.bin", progress=lambda done, total: heard.append((done, total)))
        writer.commit()
    assert read() == {"x/plain.bin": data}
    assert heard[-1] == (len(data), len(data))
    assert stat.S_IMODE((place / "x" / "plain.bin").stat().st_mode) == 0o644


class Elsewhere:
    """A folder that is none of this machine, as far as the writer can tell."""

    def __init__(self, path):
        self._folder = LocalFolder(path)

    def __getattr__(self, name):
        return getattr(self._folder, name)


def test_a_file_goes_in_pieces_to_other_file_systems(keys, place, read, tmp_path):
    data, heard = os.urandom(2_500_000), []
    (tmp_path / "plain.bin").write_bytes(data)
    with DatasetWriter(Elsewhere(place), keys, name="n", key="people", kind=Kind.FILE) as writer:
        writer.add(tmp_path / "plain.bin", "plain.bin", progress=lambda done, total: heard.append((done, total)))
        writer.commit()
    assert read() == {"plain.bin": data}
    assert heard[-1] == (len(data), len(data))


def test_tasks_elsewhere_write_with_the_data_key_that_they_ask_for(keys, place, read):
    with DatasetWriter(place, keys, name="n", key="people", kind=Kind.CSV) as writer:
        key_id, wrapped = writer.wrapped
        data_key = keys.unwrap(KeyId.parse(key_id), wrapped)
        for attempt in ("0", "1"):  # the first attempt is lost, its file is nowhere in the end
            at = f"{writer.staging}/attempt-{attempt}/part-0.csv"
            with stage(LocalFolder(place), at, data_key, stored_path="part-0.csv") as sealed:
                sealed.write(attempt.encode())
                entry = sealed.finish()
        writer.adopt(entry, at=at)
        writer.commit()
    assert read() == {"part-0.csv": b"1"}
    assert names(place) == ["_strongroom.json", "part-0.csv"]


def test_what_is_not_committed_leaves_nothing(keys, place):
    options = {"name": "n", "key": "people", "kind": Kind.CSV}
    with DatasetWriter(place, keys, **options) as writer, writer.create("a.csv") as sealed:
        sealed.write(b"1\n")
        writer.adopt(sealed.finish(), at=writer.staged("a.csv"))
        assert names(place) == [writer.staged("a.csv")]
    assert names(place) == []
    with DatasetWriter(place, keys, **options) as writer, writer.create("a.csv") as sealed:
        sealed.write(b"x" * 1_000_000)
    assert names(place) == []


def test_where_there_is_data_a_new_set_is_refused(seal, keys, place):
    seal(OLD)
    with pytest.raises(DataSetThere, match="holds data set people") as refused:
        seal(NEW)
    assert refused.value.code == "SR-DATA-SET-THERE"
    with pytest.raises(DataSetThere, match=r"a\.csv is in data set"):
        seal(OLD, mode=Mode.APPEND)
    (place / "_strongroom.json").unlink()
    for mode in Mode:
        with pytest.raises(DataSetThere, match="no data set"):
            seal(NEW, mode=mode)


@pytest.mark.parametrize(
    "other", [{"kind": Kind.JSON}, {"key": "taxis"}, {"name": "others"}], ids=["kind", "key", "name"]
)
def test_what_differs_is_not_appended(seal, other):
    seal(OLD)
    with pytest.raises(DataSetDiffers) as refused:
        seal(NEW, mode=Mode.APPEND, **other)
    assert refused.value.code == "SR-DATA-DIFFERS"


def test_sealed_files_are_not_appended_to_parquets_own_encryption(seal, pin):
    pin({"a.parquet": b"PARE"})
    with pytest.raises(DataSetDiffers):
        seal(NEW, mode=Mode.APPEND, kind=Kind.PARQUET, name="p")


def test_nobody_appends_to_what_was_tampered_with(seal, place):
    seal(OLD)
    (place / "added.csv").write_bytes(b"x")
    for mode in (Mode.APPEND, Mode.OVERWRITE):
        with pytest.raises(DataFilesChanged):
            seal(NEW, mode=mode)


def test_of_two_commits_at_once_one_is_refused(seal, keys, place, read):
    seal(OLD)
    with DatasetWriter(place, keys, name="people", key="people", kind=Kind.CSV, mode=Mode.APPEND) as slow:
        with slow.create("slow.csv") as sealed:
            slow.adopt(sealed.finish(), at=slow.staged("slow.csv"))
        seal(NEW, mode=Mode.APPEND)
        with pytest.raises(CommittedMeanwhile) as refused:
            slow.commit()
    assert refused.value.code == "SR-DATA-RACE"
    assert read() == {**OLD, **NEW}
    assert not [name for name in names(place) if "slow" in name]


class Unlocked(LocalFolder):
    """A folder that nobody can hold, in which another one commits in the midst of a commit."""

    def __init__(self, path, step, other):
        super().__init__(path)
        self.step, self.other = step, other

    def exclusive(self):
        return nullcontext()

    def meanwhile(self, step):
        if step == self.step:
            self.step = ""
            self.other()

    def take(self, below, paths):
        self.meanwhile("before it moves")
        super().take(below, paths)

    def sync(self, paths):
        self.meanwhile("when it has moved")
        super().sync(paths)


@pytest.mark.parametrize("step", ["before it moves", "when it has moved"])
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.OVERWRITE])
def test_where_nobody_can_hold_a_folder_the_slower_commit_gives_up(seal, place, read, step, mode):
    seal(OLD)
    folder = Unlocked(place, step, lambda: seal(NEW, mode=Mode.APPEND))
    with pytest.raises(CommittedMeanwhile):
        seal({"slow.csv": b"9\n"}, mode=mode, folder=folder)
    assert read() == {**OLD, **NEW}
    assert names(place) == ["_strongroom.json", "a.csv", "b.csv", "day=2/c.csv"]


@pytest.mark.parametrize("path", ["", "../a", "/a", "_a", ".a", "a//b", "a\\b", "a\0", "a/../b"])
def test_paths_that_lead_elsewhere_are_refused(keys, place, tmp_path, path):
    (tmp_path / "plain").write_bytes(b"x")
    with DatasetWriter(place, keys, name="n", key="people", kind=Kind.FILE) as writer:
        with pytest.raises(BadDataPath):
            writer.create(path)
        with pytest.raises(BadDataPath):
            writer.add(tmp_path / "plain", path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["plain"]


def test_a_key_that_is_not_there_is_refused(keys, place):
    for key, error in (("salaries", KeyNotGranted), ("a b", BadKeyName)):
        with pytest.raises(error):
            DatasetWriter(place, keys, name="n", key=key, kind=Kind.CSV)


@pytest.mark.parametrize("at", ["_strongroom-1/a.csv", "a.csv", "/a.csv", "{staging}/b.csv", "{staging}a.csv"])
def test_files_that_wait_elsewhere_are_not_taken(keys, place, at):
    with DatasetWriter(place, keys, name="n", key="people", kind=Kind.CSV) as writer:
        with writer.create("a.csv") as sealed:
            entry = sealed.finish()
        with pytest.raises(ValueError, match=r"is not a\.csv below"):
            writer.adopt(entry, at=at.format(staging=writer.staging))


def test_a_draft_under_way_has_no_name_of_its_own(place):
    folder = LocalFolder(place)
    draft = folder.create("x/a.csv")
    draft.write_at(b"data", 2)
    assert folder.sizes() == {}
    draft.commit()
    draft.discard()
    assert folder.sizes() == {"x/a.csv": 6}
    folder.remove("nothing")
    folder.remove("x")
    assert folder.sizes() == {}


def test_folders_without_end_are_not_walked(place):
    (place / "/".join("d" * 20)).mkdir(parents=True)
    with pytest.raises(DataFilesChanged, match="deeper"):
        LocalFolder(place).sizes()


def test_nothing_behind_a_link_is_changed(seal, place, tmp_path):
    """Who keeps the folder leaves a note that has the next commit remove a file of the owner's elsewhere."""
    seal(OLD)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").write_bytes(b"x")
    (place / "d").symlink_to(tmp_path / "home")
    (place / "_strongroom.pending.json").write_text('{"comes": ["d/precious"], "goes": [], "staging": ""}')
    with pytest.raises(DataFilesChanged, match="d was added"):
        seal(NEW, mode=Mode.APPEND)
    folder = LocalFolder(place)
    changes = (folder.remove, folder.create, lambda path: folder.take("_strongroom-1", [path]))
    for change in (*changes, lambda path: folder.sync([path])):
        with pytest.raises(DataFilesChanged, match="is a link"):
            change("d/precious")
    assert (tmp_path / "home" / "precious").read_bytes() == b"x"
    folder.remove("d")  # the link itself may go
    assert (tmp_path / "home" / "precious").exists()
