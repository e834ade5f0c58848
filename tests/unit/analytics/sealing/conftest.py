"""A primary key, and data sets under it."""

from datetime import UTC, datetime

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.parquet.folder import LocalFolder
from strongroom.analytics.parquet.pinned import PinnedWriter
from strongroom.analytics.sealing.read import OpenDataset, copy_entry
from strongroom.analytics.sealing.write import DatasetWriter, Mode
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import Kind

PEOPLE = b"name,age\nMichael,29\nAndy,30\nJustin,19\n"


@pytest.fixture(scope="session")
def keys():
    return RingKeys([KeyRing.fresh("people").rotated(), KeyRing.fresh("taxis")])


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def seal(keys, place):
    """Commit files (path -> bytes) to a data set and return its manifest."""

    def commit(files=None, *, mode=Mode.NEW, folder=place, schema="", key="people", kind=Kind.CSV, name="people"):
        with DatasetWriter(folder, keys, name=name, key=key, kind=kind, mode=mode) as writer:
            for path, data in ({"people.csv": PEOPLE} if files is None else files).items():
                with writer.create(path) as sealed:
                    sealed.write(data)
                    writer.adopt(sealed.finish(), at=writer.staged(path))
            return writer.commit(schema=schema)

    return commit


@pytest.fixture
def pin(keys, place):
    """Commit files that Parquet's own encryption is to have written (path -> bytes), and return their folder."""

    def commit(files, keys=keys):
        with PinnedWriter(LocalFolder(place), keys, key="people", name="p") as writer:
            for path, data in files.items():
                target = place / writer.staging / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            writer.commit(now=datetime(2026, 1, 2, tzinfo=UTC))
        return place

    return commit


@pytest.fixture
def read(keys, place):
    """Return path -> plain bytes of a whole data set, every byte of it verified."""

    def opened(folder=place, **options):
        with OpenDataset(folder, keys, **options) as dataset:
            found = {}
            for entry in dataset.files:
                pieces = bytearray()
                copy_entry(dataset, entry.path, pieces.extend)
                found[entry.path] = bytes(pieces)
            return found

    return opened


@pytest.fixture
def people():
    return PEOPLE
