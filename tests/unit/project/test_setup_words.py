"""What tools/setup.sh takes: nothing, `demo` or `all`; it does nothing before it has understood what is wanted."""

import shutil
import subprocess
from pathlib import Path

import pytest

SETUP = Path(__file__).resolve().parents[3] / "tools" / "setup.sh"


@pytest.fixture
def setup(tmp_path):
    """Return what runs a copy of the script where only `dirname` is installed, so that it can install nothing."""
    for folder in ("tools", "bin"):
        (tmp_path / folder).mkdir()
    shutil.copy(SETUP, tmp_path / "tools" / "setup.sh")
    found = shutil.which("dirname")
    if found is None:
        pytest.skip("there is no dirname here")
    (tmp_path / "bin" / "dirname").symlink_to(found)
    script = [shutil.which("sh") or "/bin/sh", str(tmp_path / "tools" / "setup.sh")]
    environ = {"PATH": str(tmp_path / "bin")}
    return lambda *words: subprocess.run([*script, *words], env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["al"], ["ALL"], ["--all"], ["help"], ["all", "demo"]], ids=" ".join)
def test_a_word_that_is_unknown_is_refused_with_those_that_are_known(setup, tmp_path, words):
    found = setup(*words)
    assert found.returncode == 1
    assert "Run: tools/setup.sh, or tools/setup.sh all" in found.stderr
    assert words[0] in found.stderr or len(words) > 1
    assert {path.name for path in tmp_path.iterdir()} == {"tools", "bin"}


@pytest.mark.parametrize("words", [[], ["demo"], ["all"]], ids=["nothing", "demo", "all"])
def test_a_word_that_is_known_is_followed(setup, words):
    assert "Run: tools/setup.sh" not in setup(*words).stderr
