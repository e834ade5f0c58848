"""A policy file, read again for every decision.

World: one file. The content decides whether it changed, not its date: an edit within a clock tick counts too. Only a
file that has been left alone for a while is known by what the file system says of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.file import MAX_POLICY_BYTES, PolicyFileMalformed, ReleasePolicy
from strongroom.pki import disk

SETTLED_S: Final = 2.0  # file systems count time in steps: a state as new as this may hide a further write


class WatchedPolicy:
    """One policy file, and what was seen of it. Not for several threads at once: its owner holds a lock."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Read the file. Raises PolicyFileMalformed: a broker does not start without a good policy."""
        self.path = path
        self._clock = clock
        self.first = read_policy_bytes(path)
        parse_policy(self.first)
        self._name = str(path)
        self._state: tuple[int, ...] = ()
        self._settled = False  # whether the state was old enough when the file was read
        self.seen: bytes | str = self.first  # what it said when it was looked at last, or why it could not be read

    def edited(self) -> bytes | PolicyFileMalformed | None:
        """Return what the file says now, or why it cannot be read; None where that is what was seen last."""
        if self._untouched():
            return None
        try:
            found: bytes | PolicyFileMalformed = read_policy_bytes(self.path)
        except PolicyFileMalformed as refusal:
            found = refusal
        state = found if isinstance(found, bytes) else found.sentence
        if state == self.seen:
            return None
        self.seen = state
        return found

    def _untouched(self) -> bool:
        """Return whether the file's state is that of the last reading, when it was too old for a write to share it."""
        try:
            found = os.stat(self._name)  # noqa: PTH116  # asked for every decision: a Path costs three times as much
        except OSError:
            self._state = ()
            return False
        state = (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        same = state == self._state and self._settled
        self._state, self._settled = state, self._clock() - found.st_ctime > SETTLED_S
        return same

    def replace(self, text: bytes) -> None:
        """Write what was put in force elsewhere, so that the file says what counts. Raises OSError."""
        disk.replace_public(self.path, text)
        self.seen = text


def read_policy_bytes(path: Path) -> bytes:
    """Return the bytes of a policy file. Raises PolicyFileMalformed if it is absent, unreadable or too long."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except OSError as problem:
        raise PolicyFileMalformed(f"{path} cannot be read: {(problem.strerror or 'error').lower()}") from None
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyFileMalformed(f"{path} is longer than {MAX_POLICY_BYTES} bytes")
    return data


def decode_policy(data: bytes) -> str:
    """Return the text of a policy file. Raises PolicyFileMalformed."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise PolicyFileMalformed(f"the policy file is not UTF-8 at byte {problem.start}") from None


def parse_policy(data: bytes) -> ReleasePolicy:
    """Return what the bytes of a policy file say. Raises PolicyFileMalformed."""
    return policy_file.parse(decode_policy(data))
