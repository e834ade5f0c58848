"""The shared cases and our own, against real servers with the SavedModels they are about, on both front ends.

One test for each server that cases share; each runs both fronts side by side and holds them against each other.
Most of the servers are forked from a process that has TensorFlow already; importing it is most of a server's start.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
TOOL = REPOSITORY / "tools" / "conformance"
VECTORS = Path(os.environ.get("STRONGROOM_VECTORS", REPOSITORY.parent / "shared" / "vectors")) / "tfserving"
FILES = [VECTORS / "cases.json", REPOSITORY / "tests" / "vectors" / "tfserving_cases.json"]
FRONTS = ("grpcio", "fast")
BY_COMMAND_LINE = ("cases", "hp2")  # whose servers are processes of their own, begun as a user begins them

sys.path.insert(0, str(TOOL))
try:
    import case_files
    import case_servers
    import replay
finally:
    sys.path.remove(str(TOOL))

NEEDED = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
    pytest.mark.skipif(not VECTORS.is_dir(), reason=f"the shared vectors are not here ({VECTORS})"),
]
pytestmark = NEEDED


def groups():
    """Return each server that the cases of a file share, with these cases."""
    if not VECTORS.is_dir():
        return []
    found = []
    for path in FILES:
        file = case_files.load(path, spare_testdata=VECTORS / "testdata")
        found += [pytest.param(file, group, cases, id=f"{path.stem} {group}") for group, cases in file.groups().items()]
    return found


@pytest.mark.parametrize(("file", "group", "cases"), groups())
def test_every_case_is_answered_as_tensorflow_serving_would_on_both_fronts_alike(nest, file, group, cases):
    begin = case_servers.begin_process if (file.path.stem, str(group)) == BY_COMMAND_LINE else nest.begin
    outcomes = replay.replay(file, group, cases, FRONTS, begin)
    failed = [outcome.line for outcome in outcomes if outcome.differences]
    assert not failed, "\n".join(failed)
    assert len(outcomes) == 3 * len(cases)  # both fronts, and the one against the other


@pytest.mark.parametrize(
    "words", [["serve"], ["serve", "--port=none"], ["serve", "--help"], ["--version"]], ids=" ".join
)
def test_a_forked_command_says_and_returns_what_the_command_line_does(nest, words):
    forked = nest.begin([sys.executable, "-m", "strongroom", *words])
    told = forked.stdout.read(), forked.stderr.read(), forked.wait(60)
    forked.stdout.close()
    forked.stderr.close()
    done = subprocess.run([sys.executable, "-m", "strongroom", *words], capture_output=True, text=True, check=False)
    assert told == (done.stdout, done.stderr, done.returncode)


def test_a_wrong_expectation_fails_and_says_so(tmp_path):
    case = {"id": "X1", "title": "wrong", "model": "hp2", "method": "GET", "path": "/v1/models", "body": None,
            "status": 200, "expect": {"error_equals": "something else"}}  # fmt: skip
    shared = json.loads(FILES[0].read_text(encoding="utf-8"))
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"models": shared["models"], "rest": [case]}))
    words = [sys.executable, str(TOOL / "conformance.py"), str(file), "--testdata", str(VECTORS / "testdata")]
    done = subprocess.run([*words, "--front", "grpcio"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "FAILED X1 grpcio wrong - status 400, wanted 200" in done.stdout
    assert "1 failed" in done.stdout
