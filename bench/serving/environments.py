"""Virtual environments for the peers, made by uv from pinned lists, beside ours and never mixed with it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

BENCH: Final = Path(__file__).resolve().parent.parent
PINS: Final = BENCH / "peers"
ENVIRONMENTS: Final = BENCH.parent / ".peers"
PYTHON: Final = "3.11"  # MLServer needs Python < 3.13, and Triton's own interpreter is chosen by ours

# nvidia-pytriton brings an interpreter that lacks what CPython 3.11.7's resource tracker asks of its lock.
SITE_CUSTOMIZE: Final = """\
try:
    import multiprocessing.resource_tracker as tracker, threading
    if not hasattr(threading._CRLock, "_recursion_count"):
        tracker._resource_tracker._lock = threading._PyRLock()
except Exception:
    pass
"""


class PeerMissing(Exception):
    """A peer cannot be installed or started here; the bench says so and goes on."""


def environment(name: str) -> Path:
    """Return the interpreter of a peer's environment, made on first use. Raises PeerMissing."""
    pins, folder = PINS / f"{name}.txt", ENVIRONMENTS / name
    wanted = hashlib.sha256(pins.read_bytes() + SITE_CUSTOMIZE.encode()).hexdigest()
    stamp, python = folder / "installed", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        make(folder, pins)
        stamp.write_text(wanted)
    return python


def make(folder: Path, pins: Path) -> None:
    """Make an environment with the packages in `pins`. Raises PeerMissing."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    shutil.rmtree(folder, ignore_errors=True)
    for words in (
        [uv, "venv", "--quiet", "--python", PYTHON, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), "-r", str(pins)],
    ):
        try:
            subprocess.run(words, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            told = getattr(problem, "stderr", "") or str(problem)
            raise PeerMissing(f"not installed: {told.strip().splitlines()[-1][:200]}") from None
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "sitecustomize.py").write_text(SITE_CUSTOMIZE)


def versions(name: str) -> dict[str, str]:
    """Return the packages that a pinned list names, with their versions."""
    lines = (PINS / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith(("#", " ")))
