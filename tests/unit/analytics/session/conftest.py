"""A session's folder, and one on a disk in clear: pytest's own ones may lie in memory."""

import tempfile
from pathlib import Path

import pytest

from strongroom.analytics.session.folder import SessionFolder
from strongroom.analytics.session.storage import is_in_memory

DISK = Path("/var/tmp")  # what outlives a restart is no memory


@pytest.fixture
def on_disk():
    if not DISK.is_dir() or is_in_memory(DISK):
        pytest.skip(f"{DISK} is in memory here")
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        yield Path(folder)


@pytest.fixture
def folder():
    pytest.importorskip("pyspark")
    made = SessionFolder.create(insecure=True)
    yield made
    made.remove()
