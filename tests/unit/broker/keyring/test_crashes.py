"""Kill -9 at every durable step: the old state or the new one is there, never neither (threat KD-14)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CRASHER = Path(__file__).with_name("crasher.py")


@pytest.mark.parametrize(
    ("operation", "least_steps", "outcomes"),
    [
        ("rotate", 3, {"old", "new"}),
        ("rotate_tenant", 3, {"old"}),
        ("rewrap", 12, {"old"}),
        ("protect", 12, {"old root.key in force", "old root.passphrase in force"}),
        ("unprotect", 12, {"old root.key in force", "old root.passphrase in force"}),
        ("take_over", 8, {"old"}),
        ("first", 8, {"0 secrets", "1 secrets"}),
        ("recover", 5, {"old"}),
    ],
)
def test_kd_14_a_crash_at_any_step_leaves_old_or_new(operation, least_steps, outcomes, tmp_path):
    done = subprocess.run([sys.executable, CRASHER, tmp_path, operation], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] >= least_steps
    assert set(found["outcomes"]) == outcomes
