"""Fixtures every room shares: where the shared vectors lie, and what must never happen in a test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# No timed assertions: a slow machine is not a defect.
settings.register_profile("strongroom", deadline=None, print_blob=True)
settings.load_profile("strongroom")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """Return the folder of the shared vectors (quotes, sealed files, serving cases); skip where it is absent."""
    folder = Path(os.environ.get("STRONGROOM_VECTORS", REPOSITORY.parent / "shared" / "vectors"))
    if not folder.is_dir():
        pytest.skip(f"the shared vectors are not here ({folder}); set STRONGROOM_VECTORS to their folder")
    return folder
