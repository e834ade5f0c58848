"""A10: primary keys rotate, data goes on to be read; and what it takes to take data away from somebody."""

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.analytics.sealing.read import OpenDataset, read_manifest
from strongroom.analytics.sealing.rekey import KeysInFiles, reseal, rewrap
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.datasets.key_ring import KeyRing, UnknownKeyVersion
from strongroom.datasets.manifest import DataFilesChanged, Kind
from strongroom.datasets.names import KeyId

OLD = KeyRing.fresh("people")
NEW = OLD.rotated()


@pytest.fixture
def rings():
    return {"old": RingKeys([OLD]), "both": RingKeys([NEW]), "new": RingKeys([NEW.current_alone()])}


@pytest.fixture
def sealed(rings, place):
    with DatasetWriter(place, rings["old"], name="people", key="people", kind=Kind.CSV) as writer:
        for path in ("a.csv", "x/b.csv"):
            with writer.create(path) as stream:
                stream.write(path.encode())
                writer.adopt(stream.finish(), at=writer.staged(path))
        writer.commit(schema="a string")
    return place


def plain(place, keys):
    with OpenDataset(place, keys) as dataset:
        return {entry.path: dataset.open(entry.path).read() for entry in dataset.files}


def test_a10_rewrapping_changes_the_manifest_alone(sealed, rings, read):
    before = {path: path.read_bytes() for path in sealed.rglob("*.csv")}
    made = rewrap(sealed, rings["both"], "people")
    assert made.key_id == KeyId("people", 2) == read_manifest(sealed).key_id
    assert before == {path: path.read_bytes() for path in sealed.rglob("*.csv")}
    assert plain(sealed, rings["new"]) == plain(sealed, rings["both"]) == {"a.csv": b"a.csv", "x/b.csv": b"x/b.csv"}
    with pytest.raises(UnknownKeyVersion) as refused:
        OpenDataset(sealed, rings["old"])
    assert refused.value.code == "SR-DATA-KEY-VERSION"


def test_a10_until_it_is_rewrapped_the_old_version_opens_it(sealed, rings):
    assert plain(sealed, rings["both"])
    with pytest.raises(UnknownKeyVersion):
        OpenDataset(sealed, rings["new"])


def test_rewrapping_keeps_generation_and_mac(sealed, rings):
    before = read_manifest(sealed)
    made = rewrap(sealed, rings["both"], "people")
    assert (made.generation, made.mac) == (before.generation, before.mac)


def test_rewrapping_under_another_key(sealed):
    other = KeyRing.fresh("archive")
    rewrap(sealed, RingKeys([OLD, other]), "archive")
    assert plain(sealed, RingKeys([other]))
    with pytest.raises(KeyNotGranted):
        OpenDataset(sealed, RingKeys([OLD]))


def test_what_was_tampered_with_is_not_rewrapped(sealed, rings):
    (sealed / "a.csv").unlink()
    with pytest.raises(DataFilesChanged):
        rewrap(sealed, rings["both"], "people")


def test_resealing_makes_another_data_key_and_other_bytes(sealed, rings, tmp_path):
    heard = []
    with (
        OpenDataset(sealed, rings["both"]) as dataset,
        DatasetWriter(tmp_path / "anew", rings["both"], name="people", key="people", kind=Kind.CSV) as writer,
    ):
        held = bytes(dataset.data_key._bytes)
        made = reseal(dataset, writer, lambda done, total: heard.append((done, total)))
    assert made.key_id == KeyId("people", 2)
    assert heard[-1] == (8192, 8192)
    assert plain(tmp_path / "anew", rings["new"]) == plain(sealed, rings["both"])
    with OpenDataset(tmp_path / "anew", rings["new"]) as dataset:
        assert dataset.schema == "a string"
        with dataset.data_key.reveal() as raw:
            assert raw != held
    assert (tmp_path / "anew" / "a.csv").read_bytes() != (sealed / "a.csv").read_bytes()


def test_parquets_own_encryption_keeps_its_keys(rings, place, pin, tmp_path):
    place.mkdir()
    pin({}, rings["old"])
    with pytest.raises(KeysInFiles) as refused:
        rewrap(place, rings["both"], "people")
    assert refused.value.code == "SR-DATA-REKEY"
    with (
        OpenDataset(place, rings["both"]) as dataset,
        DatasetWriter(tmp_path / "anew", rings["both"], name="p", key="people", kind=Kind.PARQUET) as writer,
        pytest.raises(KeysInFiles),
    ):
        reseal(dataset, writer)


def test_new_data_goes_under_the_new_version_after_an_overwrite(sealed, rings):
    with DatasetWriter(
        sealed, rings["both"], name="people", key="people", kind=Kind.CSV, mode=Mode.OVERWRITE
    ) as writer:
        writer.commit()
    assert read_manifest(sealed).key_id == KeyId("people", 2)
