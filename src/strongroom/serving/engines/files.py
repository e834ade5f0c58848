"""The files of one model version, as engines ask for them: in a folder of the operator's, or in memory alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from strongroom.pki import disk

MAX_FILE_BYTES: Final = 2**31 - 1  # what protobuf can hold
CHUNK_BYTES: Final = 4 * 1024 * 1024


class ModelFiles(Protocol):
    """Names and contents. `folder` is where plain files lie; None means that the contents must not be on a disk."""

    @property
    def folder(self) -> Path | None:
        """The folder of a plain version."""

    @property
    def paths(self) -> Sequence[str]:
        """Every file, by its path below the version, with forward slashes."""

    def read(self, path: str) -> bytes:
        """Return a whole file of at most MAX_FILE_BYTES. Raises a StrongroomError or OSError."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file of any size, piece by piece. Raises like `read`."""


class FolderFiles:
    """A version as TensorFlow Serving has it: the model's own files, readable by the operator."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self._base = folder

    @property
    def paths(self) -> Sequence[str]:
        """The files that are there now, sorted."""
        return sorted(path.relative_to(self._base).as_posix() for path in self._base.rglob("*") if path.is_file())

    def read(self, path: str) -> bytes:
        """Return a whole file. Raises FileTooLong or OSError."""
        return disk.read_bounded(self._base / path, limit=MAX_FILE_BYTES)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file piece by piece. Raises OSError."""
        with (self._base / path).open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                yield chunk


class MemoryFiles:
    """A version whose files are bytes in memory."""

    folder: Path | None = None

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    @property
    def paths(self) -> Sequence[str]:
        """The files, sorted."""
        return sorted(self._files)

    def read(self, path: str) -> bytes:
        """Return a file. Raises FileNotFoundError."""
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield a file in one piece. Raises FileNotFoundError."""
        yield self.read(path)
