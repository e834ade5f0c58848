"""What a dry run of the Makefile does: it says commands, and starts none."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parents[3] / "Makefile"
TARGETS = re.findall(r"^\.PHONY: (.*)$", MAKEFILE.read_text(), re.MULTILINE)[0].split()


@pytest.mark.parametrize("target", TARGETS)
def test_a_dry_run_starts_nothing(target, tmp_path):
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("bin/java", ".venv/bin/python", ".venv/bin/strongroom", ".venv/bin/ruff", "tools/setup.sh"):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    words = ["make", "--dry-run", target]
    found = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout
    assert not (tmp_path / "started").exists()
