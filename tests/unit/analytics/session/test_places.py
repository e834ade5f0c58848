"""Folders that must never be on a disk."""

import pytest

from strongroom.analytics.session import places
from strongroom.analytics.session.places import NoMemoryFolder


def test_a_folder_on_a_disk_is_no_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "is_in_memory", lambda _: False)
    with pytest.raises(NoMemoryFolder) as refusal, places.private_folder(tmp_path):
        pass
    assert refusal.value.code == "SR-AGENT-MEMORY"
