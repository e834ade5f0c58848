"""A short schedule of `make chaos`: each kind of fault once, two at a time, and a history that breaks no rule."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).resolve().parents[2] / "tools" / "chaos" / "chaos.py"


@pytest.fixture
def database_program(tool):
    """Skip where there is no database server to share."""
    database = tool("chaos/database")
    try:
        return database.program("postgres")
    except database.NoServer as absent:
        pytest.skip(str(absent))


def test_sa_16_three_brokers_keep_every_promise_while_everything_around_them_breaks(database_program, tmp_path):
    done = subprocess.run(
        [sys.executable, str(CHAOS), "--once", "--gap", "0.5", "--seed", "5", "--json", str(tmp_path / "found.json")],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["violations"] == []
    kinds = "clock cold collateral crash database disk kill partition pause slow"
    assert found["faults"] == dict.fromkeys(kinds.split(), 1)
    assert found["outcomes"]["good gramine secret"] > 10
    assert found["outcomes"]["good kbs secret"] > 10
    assert found["outcomes"]["replay kbs refused"] > 10
    assert found["outcomes"]["narrow gramine secret"] > 1
    assert found["signed_roots_seen"] > 0
    assert "every rule held" in done.stderr
    assert done.stdout.count("  held    ") == 12
    assert "wrong gramine secret" not in found["outcomes"]
    assert "wrong kbs secret" not in found["outcomes"]
