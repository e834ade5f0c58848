"""Any change of any byte of any file of a data set, or of its manifest, is refused; what is unchanged comes out."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.parquet.folder import LocalFolder
from strongroom.analytics.parquet.pinned import PinnedWriter
from strongroom.analytics.sealing.read import OpenDataset
from strongroom.analytics.sealing.write import DatasetWriter
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import Kind, Pins
from strongroom.errors import StrongroomError

KEYS = RingKeys([KeyRing.fresh("people")])
SIZES = (40, 3_072, 60_000, 500_000)


def content(size):
    return bytes(number * 7 % 251 for number in range(size))


@pytest.fixture(scope="module", params=list(Pins))
def dataset(request, tmp_path_factory):
    """A data set of files of several lengths, pinned either way."""
    folder = tmp_path_factory.mktemp("data") / "set"
    if request.param is Pins.SHA256:  # files that somebody else encrypted
        with PinnedWriter(LocalFolder(folder), KEYS, key="people", name="set") as writer:
            (folder / writer.staging).mkdir(parents=True)
            for size in SIZES:
                (folder / writer.staging / f"{size}.bin").write_bytes(content(size))
            writer.commit(now=datetime(2026, 1, 2, tzinfo=UTC))
        return folder
    with DatasetWriter(folder, KEYS, name="set", key="people", kind=Kind.FILE) as writer:
        for size in SIZES:
            with writer.create(f"{size}.bin") as sealed:
                sealed.write(content(size))
                writer.adopt(sealed.finish(), at=writer.staged(f"{size}.bin"))
        writer.commit()
    return folder


def read_all(folder):
    with OpenDataset(folder, KEYS) as opened:
        opened.verify()
        return {entry.path: opened.open(entry.path).read() for entry in opened.files}


def test_unchanged_it_is_read(dataset):
    assert read_all(dataset) == {f"{size}.bin": content(size) for size in SIZES}


@given(data=st.data())
def test_a1_any_changed_byte_anywhere_is_refused(dataset, data):
    path = data.draw(st.sampled_from(sorted(each.name for each in dataset.iterdir())))
    size = (dataset / path).stat().st_size
    at, mask = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "set"
        shutil.copytree(dataset, copy)
        with (copy / path).open("r+b") as file:
            file.seek(at)
            was = file.read(1)[0]
            file.seek(at)
            file.write(bytes([was ^ mask]))
        with pytest.raises(StrongroomError) as refused:
            read_all(copy)
    assert refused.value.code.startswith("SR-")


@given(data=st.data())
def test_any_cut_or_longer_file_is_refused(dataset, data):
    path = data.draw(st.sampled_from(sorted(each.name for each in dataset.iterdir())))
    size = (dataset / path).stat().st_size
    length = data.draw(st.integers(0, size + 10_000).filter(lambda wanted: wanted != size))
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "set"
        shutil.copytree(dataset, copy)
        with (copy / path).open("r+b") as file:
            file.truncate(length)
        with pytest.raises(StrongroomError):
            read_all(copy)


@given(order=st.permutations(range(len(SIZES))))
def test_files_in_each_others_places_are_refused(dataset, order):
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "set"
        shutil.copytree(dataset, copy)
        for size, place in zip(SIZES, order, strict=True):
            shutil.copy(dataset / f"{size}.bin", copy / f"{SIZES[place]}.bin")
        if list(order) == list(range(len(SIZES))):
            assert read_all(copy)
            return
        with pytest.raises(StrongroomError):
            read_all(copy)
