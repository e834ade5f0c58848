"""Whether what is written to a folder can be read from a disk: Spark and Python spill data there in clear.

World: /proc/self/mountinfo, /sys/dev/block, /proc/swaps. Linux alone; elsewhere nothing counts as memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import Refused

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a tmpfs, in which folders of 0700 are made
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_CRYPT: Final = "CRYPT-"  # how device-mapper names targets of dm-crypt: CRYPT-LUKS2-…, CRYPT-PLAIN-…


class DiskInTheClear(Refused):
    """A folder for Spark's temporary files lies on a disk that is not encrypted, where spilled data would be read."""

    code = "SR-SPARK-LOCAL-DIR"
    fix = "Name a folder in memory (a tmpfs such as /dev/shm) or on a dm-crypt volume with --local-dir."


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where, what, and on which device (MAJOR:MINOR)."""

    point: str
    kind: str
    device: str


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """Read /proc/self/mountinfo (proc(5)), later mounts last; lines of another form are left out."""
    found = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        words, kinds = before.split(), after.split()
        if separator and len(words) >= 5 and kinds:
            found.append(Mount(_OCTAL.sub(lambda each: chr(int(each[1], 8)), words[4]), kinds[0], words[2]))
    return tuple(found)


def mount_of(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    """Return the mount that holds a path: the longest fitting point, of equal ones the latest."""
    best = None
    for mount in mounts:
        if path.is_relative_to(mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def is_in_memory(path: Path) -> bool:
    """Return whether a folder's files stay in memory."""
    mount = _mount(path)
    return mount is not None and mount.kind in _IN_MEMORY


def is_protected(path: Path) -> bool:
    """Return whether a folder's files stay in memory, or are encrypted before they reach a disk."""
    mount = _mount(path)
    return mount is not None and (mount.kind in _IN_MEMORY or _is_encrypted(mount.device))


def check_local_dir(path: Path) -> Path:
    """Return a folder for temporary files, whole. Raises DiskInTheClear."""
    path = path.resolve()
    if not path.is_dir():
        raise DiskInTheClear(f"{path} is no folder")
    if not is_protected(path):
        mount = _mount(path)
        kind = mount.kind if mount is not None else "unknown"
        raise DiskInTheClear(f"{path} lies on a file system ({kind}) that is neither in memory nor encrypted")
    return path


def swap_in_the_clear() -> tuple[str, ...]:
    """Return the swap devices and files that memory may be written to without encryption."""
    try:
        lines = Path("/proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return ()
    names = [line.split()[0] for line in lines if line.split()]
    return tuple(name for name in names if "zram" not in name and not _is_encrypted(_device(Path(name))))


def _mount(path: Path) -> Mount | None:
    try:
        text = Path("/proc/self/mountinfo").read_text()
    except OSError:
        return None
    return mount_of(path.resolve(), parse_mounts(text))


def _device(path: Path) -> str:
    try:
        number = path.stat().st_rdev
    except OSError:
        return ""
    return f"{os.major(number)}:{os.minor(number)}" if number else ""


def _is_encrypted(device: str) -> bool:
    """Whether a block device, or every one beneath it, is of dm-crypt."""
    if not re.fullmatch(r"[0-9]+:[0-9]+", device):
        return False
    return _crypt_beneath(Path("/sys/dev/block") / device, depth=4)


def _crypt_beneath(place: Path, depth: int) -> bool:
    try:
        if (place / "dm" / "uuid").read_text().startswith(_CRYPT):
            return True
    except OSError:
        pass  # no device-mapper device: look at what it lies on
    try:
        slaves = list((place / "slaves").iterdir())
    except OSError:
        return False
    return bool(slaves) and depth > 0 and all(_crypt_beneath(each, depth - 1) for each in slaves)
