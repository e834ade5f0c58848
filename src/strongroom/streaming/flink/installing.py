"""Make Flink's environment from a lock with hashes, with this Strongroom in it.

World: processes, the package index, the file system. The lock is `requirements.txt` beside this file, exported from
flink/uv.lock. Some packages come as sources alone; what builds them is in the lock as well, and nothing else is
fetched.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

import strongroom
from strongroom.errors import BadInput, Unreachable
from strongroom.pki import disk

REQUIREMENTS: Final = "requirements.txt"
BUILDERS: Final = "builders.txt"
PYTHON: Final = "3.11"
_QUIET: Final = ("--quiet", "--disable-pip-version-check", "--no-input")


class NoPython311(BadInput):
    """Flink's environment needs Python 3.11, and there is none."""

    code = "SR-FLINK-PYTHON"
    fix = "Install Python 3.11, or name one with --python; jobs run in it, Strongroom itself in any newer one."


class InstallFailed(Unreachable):
    """Flink's environment could not be installed."""

    code = "SR-FLINK-INSTALL"
    fix = "The lines above are pip's; check the way to the package index and the space on the disk (1 GB)."


def requirements(name: str = REQUIREMENTS) -> bytes:
    """Return a lock: every package with its version and the hashes of its files."""
    return files("strongroom.streaming.flink").joinpath(name).read_bytes()


def install(target: Path, *, python: str | None = None, said: Callable[[str], object] = lambda _: None) -> None:
    """Make the environment in the new folder `target`. Raises AlreadyThere, NoPython311, InstallFailed."""
    interpreter = python_311(python)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise disk.AlreadyThere(f"{target} is there already")
    said(f"installing Apache Flink into {target}: about 1 GB")
    try:
        _checked([interpreter, "-m", "venv", str(target)])
        pip = [str(target / "bin" / "python"), "-m", "pip", "install", *_QUIET, "--require-hashes", "--no-deps"]
        for name in (BUILDERS, REQUIREMENTS):
            lock = target / name
            lock.write_bytes(requirements(name))
            _checked([*pip, "--no-build-isolation", "-r", str(lock)])
        add_strongroom(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def add_strongroom(target: Path) -> None:
    """Let the environment import the Strongroom that runs now: jobs are then always as old as who submits them."""
    source = Path(strongroom.__file__).parent
    for packages in target.glob("lib/python3.*/site-packages"):
        link = packages / "strongroom"
        link.unlink(missing_ok=True)
        link.symlink_to(source)


def python_311(named: str | None = None) -> str:
    """Return a Python 3.11: the one named, this one, or the first on the PATH. Raises NoPython311."""
    for candidate in [named] if named else [sys.executable, "python3.11", "python3"]:
        path = shutil.which(candidate)
        if path is not None and _version(path) == PYTHON:
            return path
    raise NoPython311(f"{named or 'python3.11'} is not here, or is another version")


def _version(path: str) -> str:
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        raise InstallFailed(f"{Path(command[0]).name} {' '.join(command[1:4])} ended with status {done.returncode}")
