"""Folders that must never be on a disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.analytics.session import places
from strongroom.analytics.session.places import NoMemoryFolder


def test_a_folder_on_a_disk_is_no_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "is_in_memory", lambda _: False)
    with pytest.raises(NoMemoryFolder) as refusal, places.private_folder(tmp_path):
        pass
    assert refusal.value.code == "SR-AGENT-MEMORY"


HOLDS = """
import sys
from pathlib import Path
from strongroom.analytics.session.places import held_folder
with held_folder(Path(sys.argv[1]), "strongroom-example-") as folder:
    (folder / "keys").mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(tmp_path):
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed,
        places.held_folder(tmp_path, "strongroom-example-keys-") as used,
    ):
        left = Path(killed.stdout.readline().strip())
        with places.held_folder(tmp_path, "strongroom-example-") as other:
            assert sorted(tmp_path.iterdir()) == sorted([left, used, other])
        killed.kill()
        killed.wait()
        assert left.is_dir()
        with places.held_folder(tmp_path, "strongroom-example-") as other:
            assert sorted(tmp_path.iterdir()) == sorted([used, other])
    assert list(tmp_path.iterdir()) == []
