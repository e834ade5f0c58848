"""The directory in which Linux hands out attestation reports: configfs-tsm (Documentation/ABI/testing/configfs-tsm).

A directory made there gets its files from the kernel: `inblob` takes the report data, reading `outblob` makes the
report, `provider` names who makes it, `generation` counts the writes, so that a reader sees whether somebody else wrote
in between. `Reports` is the part of it that a collector needs, so that the kernel's behaviour can be played where there
is no such kernel.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

TSM_REPORTS: Final = Path("/sys/kernel/config/tsm/report")
MAX_ATTRIBUTE_BYTES: Final = 4096  # text attributes have a page at most


class Reports(Protocol):
    """Entries by name, and the attributes in them. Every method raises OSError as the kernel does."""

    @property
    def place(self) -> str:
        """Where the entries are, for messages."""

    def make(self, name: str) -> None:
        """Make the entry `name`; FileExistsError if there is one."""

    def write(self, name: str, attribute: str, data: bytes) -> None:
        """Write an attribute whole, in one opening."""

    def read(self, name: str, attribute: str, limit: int) -> bytes:
        """Return an attribute, at most `limit` bytes of it."""

    def remove(self, name: str) -> None:
        """Remove the entry `name`; its attributes go with it."""


class ConfigfsReports:
    """The kernel's own directory, or what stands for it below `root`."""

    def __init__(self, root: Path = TSM_REPORTS) -> None:
        self._root = root

    @property
    def place(self) -> str:
        """Where the entries are, for messages."""
        return str(self._root)

    def make(self, name: str) -> None:
        """Make a directory, which the kernel fills."""
        (self._root / name).mkdir(mode=0o700)

    def write(self, name: str, attribute: str, data: bytes) -> None:
        """Write an attribute; the kernel takes a binary one over when it is closed."""
        descriptor = os.open(self._root / name / attribute, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def read(self, name: str, attribute: str, limit: int) -> bytes:
        """Read an attribute to its end or to `limit`, through one descriptor: an opening is one report."""
        descriptor = os.open(self._root / name / attribute, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        found = b""
        try:
            while len(found) < limit and (piece := os.read(descriptor, limit - len(found))):
                found += piece
        finally:
            os.close(descriptor)
        return found

    def remove(self, name: str) -> None:
        """Remove the directory; configfs does so although there are files in it."""
        (self._root / name).rmdir()
