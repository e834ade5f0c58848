"""What events and reports are tested with: a primary key, and manifests under it."""

from datetime import UTC, datetime

import pytest

from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.manifest import FileEntry, Kind, Manifest


@pytest.fixture(scope="session")
def ring():
    return KeyRing.fresh("people")


@pytest.fixture(scope="session")
def keys(ring):
    return RingKeys([ring])


@pytest.fixture
def manifest(keys):
    """Return what makes the manifest of a data set under a data key of its own."""

    def make(name="people", generation=1, files=1):
        key = keys.new_data_key("people")
        entries = tuple(FileEntry(f"part-{each}.csv", 100, bytes([each]) * 32) for each in range(files))
        return Manifest(
            name=name, kind=Kind.CSV, generation=generation, key_id=key.key_id, wrapped_data_key=key.wrapped,
            files=entries, created=datetime(2026, 1, 2, tzinfo=UTC),
        ).authenticated(key.plain)  # fmt: skip

    return make
