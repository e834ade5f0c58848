"""Data sets that somebody changed: every change is refused, by the file's name, before a row comes out."""

import shutil

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.sealing.folder import LocalFolder
from strongroom.analytics.sealing.pending import Pending, read_pending, write_pending
from strongroom.analytics.sealing.read import NoDataSet, OpenDataset, read_manifest
from strongroom.analytics.sealing.write import Mode
from strongroom.datasets.key_ring import KeyRing, UnknownKeyVersion
from strongroom.datasets.manifest import (
    FILE_NAME,
    BadDataManifest,
    DataFilesChanged,
    DataManifestForged,
    DataSetOld,
)
from strongroom.datasets.wrapping import WrappedKeyRefused
from strongroom.errors import StrongroomError, Tampered
from strongroom.sealing import DataTampered

BIG = bytes(range(256)) * 4096  # 1 MiB: three groups of nodes


def test_what_was_sealed_comes_out(seal, read, people):
    seal({"people.csv": people, "day=1/big.csv": BIG, "empty.csv": b""}, schema="name string, age int")
    assert read() == {"people.csv": people, "day=1/big.csv": BIG, "empty.csv": b""}


def test_the_schema_is_for_those_with_the_key(seal, keys, place):
    seal(schema="name string, salary int")
    assert b"salary" not in (place / FILE_NAME).read_bytes()
    with OpenDataset(place, keys) as dataset:
        assert dataset.schema == "name string, salary int"


def test_nothing_in_the_folder_is_readable(seal, place, people):
    seal({"a.csv": people * 5000})
    assert not any(people[:16] in path.read_bytes() for path in place.rglob("*") if path.is_file())


def test_a1_every_byte_of_a_small_file_counts(seal, keys, place):
    seal()
    path = place / "people.csv"
    whole = path.read_bytes()
    with OpenDataset(place, keys) as dataset:
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
            with pytest.raises(DataFilesChanged, match=r"people\.csv"):
                dataset.open("people.csv")
        path.write_bytes(whole)
        dataset.verify()


def test_a1_every_byte_of_the_manifest_counts(seal, keys, place):
    seal()
    path = place / FILE_NAME
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (0x01, 0x20):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            with pytest.raises(StrongroomError):
                OpenDataset(place, keys)
    path.write_bytes(whole)
    OpenDataset(place, keys).close()


def test_a1_truncation_at_every_length_fails(seal, read, keys, place):
    seal()
    path = place / "people.csv"
    whole = path.read_bytes()
    with OpenDataset(place, keys) as dataset:
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(DataFilesChanged, match=r"people\.csv has"):
                dataset.open("people.csv")
    with pytest.raises(DataFilesChanged, match=r"people\.csv has 4095 bytes instead of 4096"):
        read()
    path.write_bytes(whole + b"\0" * 4096)
    with pytest.raises(DataFilesChanged, match="8192 bytes instead of 4096"):
        read()


@pytest.mark.parametrize("at", [4096, 4096 * 2, 4096 * 99, -1], ids=["table", "data", "second-table", "last-byte"])
def test_kd_25_a_changed_block_of_a_large_file_is_found_where_it_is_read(seal, read, keys, place, at):
    seal({"big.csv": BIG})
    path = place / "big.csv"
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(Tampered, match=r"big\.csv"):
        read()
    with OpenDataset(place, keys) as dataset, pytest.raises(Tampered, match=r"big\.csv"):
        dataset.verify()


def test_a_changed_block_gives_no_byte_of_its_group(seal, keys, place):
    seal({"big.csv": BIG})
    path = place / "big.csv"
    data = bytearray(path.read_bytes())
    data[4096 * 50] ^= 1
    path.write_bytes(data)
    with OpenDataset(place, keys) as dataset, dataset.open("big.csv") as stream:
        assert stream.read(3072) == BIG[:3072]
        stream.seek(3072 + 40 * 4096)
        with pytest.raises(DataTampered):
            stream.read(4096 * 30)


def test_a_missing_added_or_renamed_file_is_named(seal, read, place):
    seal({"a.csv": b"1\n", "b.csv": b"2\n"})
    (place / "a.csv").rename(place / "c.csv")
    with pytest.raises(DataFilesChanged, match=r"a\.csv is missing; c\.csv was added") as refused:
        read()
    assert refused.value.code == "SR-DATA-FILES"
    (place / "c.csv").rename(place / "a.csv")
    shutil.copy(place / "a.csv", place / "copy.csv")
    with pytest.raises(DataFilesChanged, match=r"copy\.csv was added"):
        read()
    (place / "copy.csv").unlink()
    (place / "deep" / "er").mkdir(parents=True)
    (place / "deep" / "er" / "d.csv").write_bytes(b"")
    with pytest.raises(DataFilesChanged, match=r"deep/er/d\.csv was added"):
        read()


def test_two_files_of_one_size_cannot_be_swapped(seal, read, place):
    seal({"a.csv": b"1\n", "b.csv": b"2\n"})
    (place / "a.csv").rename(place / "x")
    (place / "b.csv").rename(place / "a.csv")
    (place / "x").rename(place / "b.csv")
    with pytest.raises(DataFilesChanged, match=r"a\.csv is not the file"):
        read()


def test_an_older_file_in_its_place_is_refused(seal, read, place, tmp_path):
    seal({"a.csv": b"1\n"})
    shutil.copy(place / "a.csv", tmp_path / "old")
    shutil.rmtree(place)
    seal({"a.csv": b"2\n"})
    shutil.copy(tmp_path / "old", place / "a.csv")
    with pytest.raises(DataFilesChanged):
        read()


def test_a_link_is_no_file_of_a_data_set(seal, read, place, tmp_path):
    seal({"a.csv": b"1\n"})
    (place / "a.csv").rename(tmp_path / "elsewhere")
    (place / "a.csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataFilesChanged):
        read()


def test_the_whole_folder_of_an_earlier_generation_is_told_by_who_remembers(seal, read, place, tmp_path):
    seal({"a.csv": b"1\n"})
    shutil.copytree(place, tmp_path / "old")
    assert seal({"b.csv": b"2\n"}, mode=Mode.APPEND).generation == 2
    assert read(min_generation=2) == {"a.csv": b"1\n", "b.csv": b"2\n"}
    with pytest.raises(DataSetOld, match="generation 1, asked for is 2") as refused:
        read(folder=tmp_path / "old", min_generation=2)
    assert refused.value.code == "SR-DATA-GENERATION"


def test_files_or_manifests_of_two_data_sets_do_not_mix(seal, read, place, tmp_path):
    seal({"a.csv": b"1\n"})
    seal({"a.csv": b"1\n"}, folder=tmp_path / "other")
    shutil.copy(tmp_path / "other" / "a.csv", place / "a.csv")
    with pytest.raises(DataFilesChanged):
        read()


def test_an_10_a_reader_without_the_key_gets_an_error(seal, place):
    seal()
    with pytest.raises(KeyNotGranted):
        OpenDataset(place, RingKeys([KeyRing.fresh("others")]))
    with pytest.raises(UnknownKeyVersion):  # the data is under version 2
        OpenDataset(place, RingKeys([KeyRing.fresh("people")]))


def test_an_10_another_key_of_that_name_opens_nothing(seal, place):
    seal()
    with pytest.raises(WrappedKeyRefused):
        OpenDataset(place, RingKeys([KeyRing.fresh("people").rotated()]))


def test_a_manifest_under_another_data_key_is_forged(seal, keys, place, tmp_path):
    one = seal({"a.csv": b"1\n"})
    other = seal({"a.csv": b"1\n"}, folder=tmp_path / "other")
    data = (place / FILE_NAME).read_text().replace(one.wrapped_data_key, other.wrapped_data_key)
    (place / FILE_NAME).write_text(data)
    with pytest.raises(DataManifestForged):
        OpenDataset(place, keys)


def test_a_folder_without_a_manifest_is_no_data_set(tmp_path, keys):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NoDataSet) as refused:
            OpenDataset(folder, keys)
        assert refused.value.code == "SR-DATA-SET"


def test_a_file_that_is_none_of_its_cannot_be_opened(seal, keys, place):
    seal()
    with OpenDataset(place, keys) as dataset, pytest.raises(DataFilesChanged, match="none of its files"):
        dataset.open("../people.csv")


class Busy(LocalFolder):
    """A folder in which somebody commits whenever somebody else has just read the manifest."""

    def __init__(self, path, commits):
        super().__init__(path)
        self.commits = commits

    def sizes(self):
        if self.commits:
            self.commits.pop()()
        return super().sizes()


def test_who_reads_while_somebody_commits_sees_one_generation_or_the_next(seal, keys, place):
    seal({"a.csv": b"1\n"})
    commits = [lambda path=path: seal({path: b"2\n"}, mode=Mode.OVERWRITE) for path in ("c.csv", "b.csv")]
    with OpenDataset(Busy(place, commits), keys) as found:
        assert (found.manifest.generation, [each.path for each in found.files]) == (3, ["c.csv"])
    commits = [lambda path=path: seal({path: b"2\n"}, mode=Mode.OVERWRITE) for path in "ihgfed"]
    with pytest.raises(DataFilesChanged):  # not for ever
        OpenDataset(Busy(place, commits), keys)
    assert len(commits) == 3


def test_notes_of_spark_are_no_data(seal, read, place):
    seal()
    (place / "_SUCCESS").write_bytes(b"")
    (place / ".people.csv.crc").write_bytes(b"crc")
    assert read()


def test_a_commits_note_hides_no_file_that_is_listed(seal, read, place):
    seal({"a.csv": b"1\n"})
    folder = LocalFolder(place)
    (place / "b.csv").write_bytes(b"x")
    write_pending(folder, Pending(frozenset({"a.csv", "b.csv"})))
    assert read() == {"a.csv": b"1\n"}
    (place / "a.csv").unlink()
    with pytest.raises(DataFilesChanged, match=r"a\.csv is missing"):
        read()


@pytest.mark.parametrize(
    "note",
    [
        b"", b"{}", b"[]", b"\xff", b'{"comes": [1], "goes": [], "staging": ""}',
        b'{"comes": "x", "goes": [], "staging": ""}', b'{"comes": [], "goes": ["../x"], "staging": ""}',
        b'{"comes": [], "goes": [], "staging": 1}', b'{"comes": [], "goes": [], "staging": "x.csv"}',
        b'{"comes": [], "goes": [], "staging": "_strongroom-/../x"}',
    ],
    ids=["empty", "no fields", "a list", "x", "number", "text", "up", "staging a number", "a file", "staging up"],
)  # fmt: skip
def test_a_commits_note_that_is_none_is_refused(seal, read, place, note):
    seal()
    (place / "_strongroom.pending.json").write_bytes(note)
    (place / "x.csv").write_bytes(b"")
    with pytest.raises(BadDataManifest):
        read_pending(LocalFolder(place))
    with pytest.raises(BadDataManifest):
        read()


def test_parquet_files_are_pinned_by_all_their_bytes(keys, place, pin, read):
    pin({"part-0.parquet": b"PARE" + BIG})
    assert read() == {"part-0.parquet": b"PARE" + BIG}
    with OpenDataset(place, keys) as dataset, dataset.open("part-0.parquet") as stream:
        stream.seek(-4, 2)
        assert stream.read() == BIG[-4:]
    data = bytearray((place / "part-0.parquet").read_bytes())
    data[-1] ^= 1
    (place / "part-0.parquet").write_bytes(data)
    with pytest.raises(DataFilesChanged, match=r"part-0\.parquet is not the file"):
        read()


def test_a_manifest_that_nobody_could_hold_is_not_read(place, keys):
    place.mkdir()
    with (place / FILE_NAME).open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(StrongroomError) as refused:
        read_manifest(place)
    assert refused.value.code == "SR-FILE-TOO-LONG"


def test_progress_counts_through_large_files_to_the_end(seal, keys, place):
    seal({"a.csv": b"1\n", "big.csv": BIG, "c.csv": b""})
    heard = []
    with OpenDataset(place, keys) as dataset:
        dataset.verify(lambda done, total: heard.append((done, total)))
        total = sum(entry.size for entry in dataset.files)
    assert heard == sorted(heard)
    assert heard[-1] == (total, total)
    assert len([done for done, _ in heard if 8192 < done < total - 8192]) >= 3
