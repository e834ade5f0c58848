"""The walk-through of docs/analytics-walk-through.md, followed once as it is written; then every hop is looked at.

Two programs are changed on the way: the training program and the replica. Neither may get a key.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from strongroom.analytics.learning import tables

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="PySpark is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java on this machine"),
    pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no folder in memory"),  # tmpfs
]
PAGE = Path(__file__).resolve().parents[3] / "docs" / "analytics-walk-through.md"
ROWS = 2000
CHANGED = "## 8. "


@pytest.fixture(scope="module")
def walked(reader, tmp_path_factory, lean_java, once):
    """What the page's reader has in the end: a folder, and what was said before and after programs were changed."""

    def walk():
        folder = tmp_path_factory.mktemp("walk")
        commands = reader.script(PAGE).replace('"--no-ui",', f'"--no-ui", "--driver-java-options", "{lean_java}",')
        return folder, *reader.follow(commands, folder)

    folder, status, said = once("walk", walk)
    assert status == 0, said[-6000:]
    before, _, after = said.partition('+ echo \'open("copy.csv"')
    return SimpleNamespace(work=folder / "work", before=before, after=after)


@pytest.fixture(scope="module")
def decisions(walked):
    """Return the ledger's decisions, as it tells them on the page: (granted or denied, secret, the lines below)."""
    lines = re.split(r"^ +\d+  20", walked.after, flags=re.MULTILINE)
    found = [re.search(r"(GRANTED|DENIED) (\S+)", line) for line in lines]
    return [(each[1], each[2], line) for each, line in zip(found, lines, strict=True) if each]


def measured(walked, name):
    """Return a program's measurement, as its owner was given it."""
    return json.loads((walked.work / f"{name}.json").read_text())["mr_enclave"]


def test_the_served_model_says_what_the_training_said(walked):
    learned = re.search(rf"^learned from {ROWS} houses; this one: ([\d.]+)$", walked.before, re.MULTILINE)
    served = re.search(r"^price of this house: ([\d.]+)$", walked.before, re.MULTILINE)
    assert learned[1] == served[1]
    assert 1 < float(served[1]) < 5


def test_every_key_went_to_a_program_that_had_proved_itself(walked, decisions):
    granted = [(secret, line) for decision, secret, line in decisions if decision == "GRANTED"]
    assert [secret for secret, _ in granted] == ["secret/data-houses", "secret/data-prices", "model/prices/1"]
    for (_, line), name in zip(granted, ("train", "train", "replica"), strict=True):
        assert measured(walked, name) in line


def test_the_client_was_shown_which_program_answers_before_it_asked(walked):
    assert f"MRENCLAVE {measured(walked, 'replica')}" in walked.before
    assert "its quote binds it" in walked.before
    assert "trust domain simulated" in walked.before


@pytest.mark.parametrize(
    ("secret", "name", "code"),
    [("secret/data-houses", "train", "SR-AGENT-REFUSAL"), ("model/prices/1", "replica", "SR-KEY-NOT-RELEASED")],
    ids=["training", "replica"],
)
def test_an_07_a_changed_program_gets_no_key_and_its_owner_sees_why(walked, decisions, secret, name, code):
    ((_, _, line),) = [each for each in decisions if each[:2] == ("DENIED", secret)]
    assert "POLICY_MRENCLAVE" in line
    assert re.search(rf"expected +{measured(walked, name)}", line)
    assert not re.search(rf"observed +{measured(walked, name)}", line)
    assert f"[{code}]" in walked.after


def test_an_07_a_changed_training_program_does_not_run_a_line(walked):
    assert not (walked.work / "copy.csv").exists()
    assert "learned from" not in walked.after


def test_neither_the_table_nor_the_model_lies_anywhere_in_clear(walked):
    table = tables.to_csv(tables.housing(ROWS)).encode()
    rows = table.split(b"\n")
    secrets = (rows[0], rows[1], rows[ROWS // 2], b"MatMul")  # ONNX names its operators
    for path in walked.work.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert (walked.work / "trained" / "_strongroom.json").is_file()
    assert (walked.work / "models" / "prices" / "1" / "bundle.json").is_file()
