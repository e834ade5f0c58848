"""Answers kept on disk, shared by every process of one user: raw bytes and headers, as they were served.

World: one folder, 0700; files 0600, written whole or not at all. Nothing read from here is trusted: an entry that is
damaged is dropped with a notice, and a sound one is verified again like an answer from the network. A lock for each
entry lets one of many processes and threads ask while the others wait. Source: specification section 12.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from strongroom.collateral.api import MAX_BODY_BYTES, Answer, BadCollateralRequest, Request
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.wire import strict_json

MAX_ENTRY_BYTES: Final = MAX_BODY_BYTES + 256 * 1024
MAX_IN_MEMORY: Final = 1024
MAX_ENTRIES: Final = 20_000  # on disk: whoever may ask a mirror must not fill it
_FORMAT: Final = 1
_log = logging.getLogger("strongroom.collateral")


class EntryDamaged(BadInput):
    """A file in the collateral cache is not what the cache wrote."""

    code = "SR-COLLATERAL-ENTRY"
    fix = "Nothing: the entry is fetched again. If it happens often, look at the disk and at who can write the cache."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A kept answer, where it came from, and when."""

    request: Request
    answer: Answer
    source: str
    fetched: datetime


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of an entry's file: inode, size, time of change in ns; all 0 where there is none."""

    inode: int = 0
    size: int = 0
    changed_ns: int = 0


class Store(Protocol):
    """Where answers are kept by key; what is kept carries no trust."""

    def stamp(self, key: str) -> Stamp:
        """Return something that changes when the entry does."""

    def load(self, key: str) -> Entry | None:
        """Return the entry of a key, if there is a sound one."""

    def save(self, key: str, entry: Entry) -> None:
        """Keep an entry, over what was there; raise OSError."""

    def locked(self, key: str) -> AbstractContextManager[None]:
        """Hold the lock of a key."""


class MemoryStore:
    """Keeps answers as long as the process lives. Threads may share it."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[Stamp, Entry]] = OrderedDict()
        self._lock = threading.Lock()
        self._serial = 0

    def stamp(self, key: str) -> Stamp:
        """Return the entry's serial number as a stamp."""
        held = self._entries.get(key)
        return held[0] if held else Stamp()

    def load(self, key: str) -> Entry | None:
        """Return the entry of a key."""
        held = self._entries.get(key)
        return held[1] if held else None

    def save(self, key: str, entry: Entry) -> None:
        """Keep an entry; the oldest goes when there are too many."""
        self._serial += 1
        self._entries[key] = (Stamp(self._serial, len(entry.answer.body)), entry)
        if len(self._entries) > MAX_IN_MEMORY:
            self._entries.popitem(last=False)

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:  # noqa: ARG002  # one lock for all is enough here
        """Hold the lock."""
        with self._lock:
            yield


class Cache:
    """The folder. Threads and processes may share it."""

    def __init__(self, folder: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.folder = folder
        self._max_entries = max_entries
        self._alone = threading.Lock()
        for each in (folder, folder / "entries", folder / "locks"):
            each.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
        disk.check_private(folder)

    def stamp(self, key: str) -> Stamp:
        """Return the state of an entry's file, to notice that another process has renewed it."""
        try:
            state = self._path(key).stat()
        except OSError:
            return Stamp()
        return Stamp(state.st_ino, state.st_size, state.st_mtime_ns)

    def load(self, key: str) -> Entry | None:
        """Return the entry of a key; None where there is none, or, with a notice, where it is damaged."""
        try:
            return _read(disk.read_bounded(self._path(key), limit=MAX_ENTRY_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, BadInput) as problem:
            _log.warning("collateral cache: %s is dropped: %s", self._path(key), problem)
            return None

    def save(self, key: str, entry: Entry) -> None:
        """Keep an entry, over what was there. The caller holds the key's lock. Raises OSError."""
        path = self._path(key)
        remove_drafts(path)
        if not path.exists() and sum(1 for _ in path.parent.iterdir()) >= self._max_entries:
            raise OSError(errno.ENOSPC, f"{self._max_entries} entries are kept already", str(path.parent))
        with disk.new_file(path, disk.SECRET_MODE, _written(entry)) as temporary:
            temporary.replace(path)
            disk.sync_folder(path.parent)

    def drop(self, key: str) -> None:
        """Forget an entry."""
        self._path(key).unlink(missing_ok=True)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """Yield every sound entry by its key."""
        for path in sorted((self.folder / "entries").glob("*.answer")):
            entry = self.load(path.stem)
            if entry is not None:
                yield path.stem, entry

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a key: one thread of one process at a time.

        Where no lock can be had (a full disk, a folder that may only be read) processes may ask twice, threads do not.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(self.folder / "locks" / key[:2]))  # few files; nobody holds two of them
            except OSError as problem:
                _log.warning("collateral cache: other processes are not waited for: %s", problem)
                stack.enter_context(self._alone)
            yield

    def _path(self, key: str) -> Path:
        return self.folder / "entries" / f"{key}.answer"


def key_of(request: Request, roots: tuple[str, ...]) -> str:
    """Return the key of a request under root key ids: answers under other anchors are other entries."""
    text = "\n".join((*sorted(roots), request.path_and_query()))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if need be; it ends with the process at the latest."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, disk.SECRET_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # each opening is a holder of its own, so threads exclude each other too
        yield
    finally:
        os.close(descriptor)


def remove_drafts(path: Path) -> None:
    """Remove what writers of `path` left behind that were killed; the caller holds the lock that writers hold."""
    for draft in path.parent.glob(f".{path.name}.*.partial"):
        draft.unlink(missing_ok=True)


def _written(entry: Entry) -> bytes:
    head = {
        "format": _FORMAT,
        "path": entry.request.path,
        "query": entry.request.query,
        "status": entry.answer.status,
        "headers": dict(entry.answer.headers),
        "source": entry.source,
        "fetched": entry.fetched.astimezone(UTC).isoformat(),
        "sha256": hashlib.sha256(entry.answer.body).hexdigest(),
    }
    return json.dumps(head).encode("ascii") + b"\n" + entry.answer.body


def _read(data: bytes) -> Entry:
    first, found, body = data.partition(b"\n")
    head = strict_json.loads(first, what="the entry's first line", error=EntryDamaged)
    if not found or not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise EntryDamaged("the first line is not an entry's")
    texts = {name: head.get(name) for name in ("path", "query", "source", "fetched", "sha256")}
    headers, status = head.get("headers"), head.get("status")
    sound = all(isinstance(value, str) for value in texts.values())
    if not sound or not isinstance(status, int) or not isinstance(headers, dict):
        raise EntryDamaged("the first line has values of wrong types")
    if not all(isinstance(value, str) for value in headers.values()):
        raise EntryDamaged("a header is not text")
    if hashlib.sha256(body).hexdigest() != texts["sha256"]:
        raise EntryDamaged("the body is not the one that was kept")
    try:
        fetched = datetime.fromisoformat(str(texts["fetched"]))
        request = Request.parse(str(texts["path"]), str(texts["query"]))
    except (ValueError, BadCollateralRequest) as problem:
        raise EntryDamaged(f"the first line cannot be read: {problem}") from None
    if fetched.tzinfo is None:
        raise EntryDamaged("the time has no zone")
    answer = Answer(status=status, headers=headers, body=body)
    return Entry(request=request, answer=answer, source=str(texts["source"]), fetched=fetched)
