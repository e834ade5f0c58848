"""Read a folder of JSON files when it is first asked for, and again whenever one of them has changed.

World: the file system. A file that goes bad later leaves what was read before in place, with an entry in the log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from strongroom.collateral.api import Answer, Request
from strongroom.collateral.pccs.shelf import Shelf
from strongroom.errors import BadInput

MAX_FILES: Final = 10_000
_log: Final = logging.getLogger(__name__)

State = tuple[tuple[str, int, int, int], ...]  # name, inode, size, time of change in ns of each file


class FolderUnusable(BadInput):
    """A folder that the PCCS serves holds too much, or a file that is not what the folder is for."""

    code = "SR-PCCS-FOLDER"
    fix = "Remove the file, or put it there again; docs/pccs.md says what the folder may hold."


class Watched:
    """A Backend over a folder. Threads may share it."""

    def __init__(self, folder: Path, read: Callable[[Sequence[Path]], Shelf]) -> None:
        self._folder, self._read = folder, read
        self._lock = threading.Lock()
        self._seen = _state(folder)
        self._shelf = self._load(self._seen)

    def answer(self, request: Request) -> Answer | None:
        """Return the answer from the files as they are now."""
        with self._lock:
            state = _state(self._folder)
            if state != self._seen:
                self._seen = state
                try:
                    self._shelf = self._load(state)
                except (BadInput, OSError) as problem:
                    _log.error("%s: a file went bad, serving what was read before: %s", self._folder, problem)
            shelf = self._shelf
        return shelf.answer(request)

    def _load(self, state: State) -> Shelf:
        return self._read([self._folder / name for name, *_ in state])


def _state(folder: Path) -> State:
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            seen = path.stat()
        except FileNotFoundError:  # replaced at this moment: the next look sees it
            continue
        found.append((path.name, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    if len(found) > MAX_FILES:
        raise FolderUnusable(f"{folder} holds {len(found)} JSON files, at most {MAX_FILES} are served")
    return tuple(found)
