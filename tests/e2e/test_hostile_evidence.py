"""Short forms of `make fuzz`: mutated evidence before two verifiers, every parser under a guided fuzzer."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / "tools"
RUNS = 200


def run(*arguments, cwd=REPOSITORY):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("first_seed", [0, 100_000])
def test_mutated_evidence_is_judged_as_by_the_second_verifier_or_as_adjudicated(first_seed):
    done = run(TOOLS / "differential" / "run.py", "--cases", "500", "--first-seed", str(first_seed))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "agree: both accept" in done.stdout
    assert "agree: both refuse" in done.stdout
    assert "adjudicated: " in done.stdout


def test_a_difference_that_nobody_explained_fails_the_run(tmp_path):
    """Without its table, the run has to fail: otherwise it would not notice anything."""
    for name in ("forge", "grammar", "judge", "peer", "der_tree", "adjudicated", "run"):
        text = (TOOLS / "differential" / f"{name}.py").read_text(encoding="utf-8")
        if name == "adjudicated":
            text = text.replace("for entry in DIFFERENCES:", "for entry in ():")
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    done = run(tmp_path / "run.py", "--cases", "100")
    assert done.returncode == 1
    assert "UNEXPLAINED seed" in done.stdout


def test_every_entry_of_the_table_stands_in_the_documentation_with_its_reason():
    page = (REPOSITORY / "docs" / "adjudicated-differences.md").read_text(encoding="utf-8")
    listed = run("-c", "import adjudicated; print(*(entry.id for entry in adjudicated.DIFFERENCES))",
                 cwd=TOOLS / "differential")  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    assert [entry for entry in listed.stdout.split() if f"`{entry}`" not in page] == []


@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris has no wheel for this Python and platform")
@pytest.mark.parametrize("half", [0, 1])
def test_no_parser_raises_anything_but_refusals(half, tmp_path):
    listed = run("-c", "from targets import TARGETS; print(*TARGETS)", cwd=TOOLS / "fuzz")
    assert listed.returncode == 0, listed.stderr
    names = listed.stdout.split()
    targets = (names[: len(names) // 2], names[len(names) // 2 :])[half]  # neighbours share what has to be instrumented
    done = run(TOOLS / "fuzz" / "fuzz.py", "--runs", str(RUNS), "--seed", "1", *targets, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]
    assert done.stdout.count(f"Done {RUNS} runs") == len(targets), done.stdout


SLOW = """
import sys, time, targets
from itertools import count
from pathlib import Path
runs = count(1)

def parse(data):
    if next(runs) == 20:
        time.sleep(1.1)
        Path("kept/quote/found-meanwhile").write_bytes(b"four")

targets.TARGETS["quote"] = targets.Target(lambda: parse, lambda: [b"one", b"two", b"three"])
import fuzz
sys.exit(fuzz.main())
"""


def fuzzed(program, *arguments, cwd):
    """Run the fuzzer with targets that `program` has changed."""
    return run("-c", f"import sys; sys.path[:0] = [{str(TOOLS / 'fuzz')!r}]\n{program}", *arguments, cwd=cwd)


@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris has no wheel for this Python and platform")
def test_a_slow_target_runs_as_often_as_a_fast_one(tmp_path):
    """libFuzzer would read its corpus again after a second, and run seeds once more that the count does not know."""
    done = fuzzed(SLOW, "--runs", "20", "--keep", "kept", "quote", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Done 20 runs in " in done.stdout


RAISES = """
import sys, targets
targets.TARGETS["quote"] = targets.Target(lambda: lambda data: 1 // (data[:4] != b"seed"), lambda: [b"seeds are read"])
import fuzz
sys.exit(fuzz.main())
"""


@pytest.mark.skipif(find_spec("atheris") is None, reason="Atheris has no wheel for this Python and platform")
def test_a_parser_that_raises_anything_else_fails_the_run_and_the_input_is_kept(tmp_path):
    """The input is a seed: without its seeds, the fuzzer would hardly come past the first check of any parser."""
    done = fuzzed(RAISES, "--runs", "100", "quote", "qcnl", cwd=tmp_path)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "Done 100 runs" in done.stdout  # the other target
    assert "1 targets failed: quote" in done.stdout
    (kept,) = (tmp_path / "fuzz-findings" / "quote").iterdir()
    assert kept.read_bytes() == b"seeds are read"
