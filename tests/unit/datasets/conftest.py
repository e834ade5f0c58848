"""A data key, and manifests under it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from strongroom.datasets.manifest import FileEntry, Kind, Manifest
from strongroom.datasets.names import KeyId
from strongroom.secret import Secret


@pytest.fixture
def data_key():
    """The data key that the manifests below are under."""
    return Secret(b"0123456789abcdef")


@pytest.fixture
def manifest(data_key):
    """Return what makes a manifest of three files, with other fields where named."""
    files = tuple(FileEntry(f"part-{n}.csv", 100 + n, bytes([n]) * 32) for n in range(3))
    usual = Manifest(
        name="people", kind=Kind.CSV, generation=2, key_id=KeyId("staff", 1), wrapped_data_key="d3JhcHBlZA==",
        files=files, created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), previous=b"p" * 32,
    )  # fmt: skip
    return lambda **fields: replace(usual, **fields).authenticated(data_key)
