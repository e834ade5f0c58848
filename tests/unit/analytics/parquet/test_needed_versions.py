"""Which data sets need versions of a primary key that are about to go."""

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.parquet.needed import VersionsNeeded, look
from strongroom.analytics.sealing.read import NoDataSet
from strongroom.analytics.sealing.rekey import rewrap
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FILE_NAME, DataManifestForged, Kind

OLD = KeyRing.fresh("people")
NEW = OLD.rotated()
PAY = KeyRing.fresh("pay")


def seal(folder, ring, key="people"):
    """Seal a data set of one file under the current version."""
    with DatasetWriter(folder, RingKeys([ring]), name="d", key=key, kind=Kind.TEXT) as writer:
        with writer.create("a.txt") as sealed:
            sealed.write(b"a\n")
            writer.adopt(sealed.finish(), at=writer.staged("a.txt"))
        writer.commit()
    return folder


def test_sealed_data_sets_below_a_folder_are_found_until_they_are_rewrapped(tmp_path):
    old, new = seal(tmp_path / "x" / "old", OLD), seal(tmp_path / "new", NEW)
    seal(tmp_path / "others", PAY, "pay")
    found = look([tmp_path], NEW)
    assert {path: each for path, each in found.needing.items() if each} == {old: {1}}
    assert new in found.needing
    with pytest.raises(VersionsNeeded, match=r"x/old \(version 1\)") as refused:
        found.check()
    assert refused.value.code == "SR-DATA-KEY-NEEDED"
    rewrap(old, RingKeys([NEW]), "people")
    look([tmp_path], NEW).check()


def test_a_folder_without_a_data_set_is_no_answer(tmp_path):
    with pytest.raises(NoDataSet, match="or below"):
        look([tmp_path], NEW)


def test_a_manifest_that_somebody_changed_is_no_answer(tmp_path):
    place = seal(tmp_path / "d", OLD) / FILE_NAME
    place.write_text(place.read_text().replace('"d"', '"e"'))
    with pytest.raises(DataManifestForged):
        look([tmp_path], NEW)


def test_one_that_is_lost_already_holds_nothing_up(tmp_path):
    seal(tmp_path / "d", OLD)
    assert look([tmp_path], NEW.current_alone()).needing == {tmp_path / "d": frozenset()}


def test_files_and_columns_under_parquets_own_encryption_are_looked_into(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from strongroom.analytics.parquet.arrow import write_dataset

    table, both = pa.table({"a": [1, 2], "b": ["x", "y"]}), RingKeys([OLD, PAY])
    write_dataset(table, tmp_path / "old", both, "people")
    write_dataset(table, tmp_path / "new", RingKeys([NEW]), "people")
    write_dataset(table, tmp_path / "grown", both, "people")
    write_dataset(table, tmp_path / "grown", RingKeys([NEW]), "people", append=True)
    write_dataset(table, tmp_path / "theirs", both, "people", columns={"pay": ["b"]})
    found = look([tmp_path], NEW)
    assert {path.name: set(each) for path, each in found.needing.items()} == {
        "old": {1}, "new": set(), "grown": {1}, "theirs": {1},
    }  # fmt: skip
    assert found.unseen == ()
    column = look([tmp_path / "theirs"], PAY.rotated())
    assert (column.needing, column.unseen) == ({}, (tmp_path / "theirs",))
    pay = PAY.rotated()
    write_dataset(table, tmp_path / "mixed", RingKeys([NEW, PAY]), "people", columns={"pay": ["b"]})
    assert look([tmp_path / "mixed"], NEW).needing == {tmp_path / "mixed": frozenset()}
    write_dataset(table, tmp_path / "pays", RingKeys([OLD, pay]), "pay", columns={"people": ["b"]})
    assert look([tmp_path / "pays"], pay).needing == {tmp_path / "pays": frozenset()}
