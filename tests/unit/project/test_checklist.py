"""The checklists that others wrote for a verifier of quotes: every line has its test, or a reason why it has none."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
CHECKLIST = REPOSITORY / "tests" / "negative_checklist.toml"
FAMILIES = ("EV", "SC", "TCB")  # of the threat model's negative tests: evidence, signature chain, TCB
LEAST_REASON = 20  # characters: "not applicable" is no reason


@pytest.fixture(scope="module")
def answers():
    """Return what the checklist says: (suite, case) → tests, or a reason."""
    table = tomllib.loads(CHECKLIST.read_text(encoding="utf-8"))
    return {(suite, case): answer for suite, cases in table.items() for case, answer in cases.items()}


def test_every_test_that_the_checklist_names_exists(answers):
    named = {node for answer in answers.values() if isinstance(answer, list) for node in answer}
    files = sorted({node.split("::")[0] for node in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider", *files]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    collected = set(run.stdout.splitlines())
    functions = {node.split("[")[0] for node in collected}
    assert not sorted(named - collected - functions), run.stdout[-2000:]


def test_an_answer_is_a_list_of_tests_or_a_reason(answers):
    for case, answer in answers.items():
        if isinstance(answer, list):
            assert answer, case
            assert all(node.startswith("tests/") and "::test_" in node for node in answer), case
        else:
            assert len(answer) >= LEAST_REASON, case
            assert answer.endswith("."), case


def test_every_line_of_intels_checklist_is_answered_and_nothing_else_is(answers, shared_vectors):
    lines = (shared_vectors / "dcap" / "negative-checklist.txt").read_text(encoding="utf-8").splitlines()
    assert set(answers) == {tuple(line.split(", ")) for line in lines if line.strip()}


def test_every_threat_to_evidence_has_a_test_of_its_name(shared_vectors):
    threats = shared_vectors.parent / "spec" / "threats.md"
    if not threats.is_file():
        pytest.skip(f"the threat model is not here ({threats})")
    wanted = set(re.findall(rf"\*\*((?:{'|'.join(FAMILIES)})-[0-9]{{2}})\*\*", threats.read_text(encoding="utf-8")))
    assert len(wanted) > len(FAMILIES)
    names = re.compile(r"def (test_[a-z0-9_]+)")
    tests = " ".join(
        name for path in (REPOSITORY / "tests").rglob("test_*.py") for name in names.findall(path.read_text("utf-8"))
    )
    assert not sorted(threat for threat in wanted if threat.lower().replace("-", "_") not in tests)
