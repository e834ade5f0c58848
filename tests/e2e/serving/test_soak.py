"""The short form of `make soak`: callers, reloads, half copies and kills, every answer checked."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[3] / "tools" / "soak" / "soak.py"


@pytest.mark.parametrize(("processes", "seconds"), [(1, 8), (2, 1)], ids=["1", "2"])
def test_sv_17_nothing_is_lost_while_versions_come_and_go_and_processes_die(processes, seconds):
    """With several processes it is one whole round, which kills one of them; growth is seen over several rounds."""
    words = [sys.executable, str(SOAK), "--seconds", str(seconds), "--processes", str(processes)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "soak: 0 faults" in ended.stdout
    assert "'grpc'" in ended.stdout
    assert "'rest'" in ended.stdout
