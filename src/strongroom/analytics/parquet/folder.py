"""The folder of a Parquet data set as its manifest sees it, and such a folder on this machine.

World: files. What is called by a name that begins with _ or a dot is Spark's or ours and no data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from strongroom.analytics.sealing import folder as sealing
from strongroom.datasets.manifest import DataFilesChanged
from strongroom.datasets.paths import is_note

THREADS: Final = min(8, os.cpu_count() or 1)


class ParquetFolder(sealing.Place, Protocol):
    """What is asked of a folder, on whatever file system. Paths are relative, with / between the parts."""

    def address(self) -> str:
        """Return the folder's name for errors and readers."""

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return path -> bytes of the files in it, or in a folder of it; nothing where there is no folder."""

    def digests(self, paths: Sequence[str]) -> list[bytes]:
        """Return the SHA-256 of files, in their order. Raises DataFilesChanged for what cannot be read."""


class LocalFolder(sealing.LocalFolder):
    """A folder on this machine."""

    def address(self) -> str:
        """Return the folder's path."""
        return os.fspath(self.path)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Return path -> bytes of the files. Raises DataFilesChanged for links and what else is no file."""
        root, found = self.path / below, {}
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not is_note(name)]
            for name in (each for each in [*files, *folders] if not is_note(each)):
                path = Path(folder) / name
                if path.is_symlink() or (name in files and not path.is_file()):
                    raise DataFilesChanged(f"{str(path)[:200]!a} is no plain file")
                if name in files:
                    found[path.relative_to(root).as_posix()] = path.stat().st_size
        return found

    def digests(self, paths: Sequence[str]) -> list[bytes]:
        """Return the SHA-256 of files, several at a time. Raises DataFilesChanged."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(self._digest, paths))

    def _digest(self, path: str) -> bytes:
        try:
            with (self.path / path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").digest()
        except OSError as problem:
            raise DataFilesChanged(f"{path[:200]!a} cannot be read: {problem.strerror}") from None
