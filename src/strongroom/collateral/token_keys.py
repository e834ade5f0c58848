"""Where the keys of an attestation service come from: a file that the owner pinned, or the service itself, remembered.

World: the file, or the service and a folder for what it published. A fetched set counts for a limited time and is then
fetched again; a token under an unknown key asks for it earlier, but not more often than once a minute, so that made-up
key ids do not become requests.
"""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from strongroom.attestation.tokens import MAX_KEY_SET_BYTES, KeySet, KeySetUnusable
from strongroom.collateral.attestation_service import AttestationService
from strongroom.pki import disk
from strongroom.wire import strict_json

MAX_AGE: Final = timedelta(hours=24)
MIN_INTERVAL: Final = timedelta(minutes=1)
_MAX_FILE_BYTES: Final = 2 * MAX_KEY_SET_BYTES


class TokenKeys(Protocol):
    """Finds the keys that one issuer's tokens are checked with."""

    def current(self, *, at: datetime) -> KeySet:
        """Return the keys that count at `at`; raise ServiceUnreachable or KeySetUnusable."""

    def renewed(self, *, at: datetime) -> KeySet | None:
        """Return newer keys after one was not found; None if there are none to be had now."""


class PinnedKeys:
    """A key set in a file, read again for each use; nobody but the owner changes it."""

    def __init__(self, path: Path, *, issuer: str, url: str | None) -> None:
        self._path, self._issuer, self._url = path, issuer, url

    def current(self, *, at: datetime) -> KeySet:  # noqa: ARG002  # a pinned set has no age
        """Return the file's keys."""
        data = disk.read_bounded(self._path, limit=MAX_KEY_SET_BYTES)
        return KeySet.parse(data, issuer=self._issuer, url=self._url)

    def renewed(self, *, at: datetime) -> None:
        """A pinned set is not renewed by a token."""


class FetchedKeys:
    """The set that a service publishes, kept in memory and, with `folder`, on disk for the next process."""

    def __init__(
        self, service: AttestationService, *, issuer: str, folder: Path | None, max_age: timedelta = MAX_AGE,
        min_interval: timedelta = MIN_INTERVAL,
    ) -> None:  # fmt: skip
        self._service, self._issuer, self._folder = service, issuer, folder
        self._max_age, self._min_interval = max_age, min_interval
        self._held: tuple[datetime, KeySet] | None = None
        self._asked: datetime | None = None  # when a renewal was last tried, whatever came of it
        self._lock = threading.Lock()

    def current(self, *, at: datetime) -> KeySet:
        """Return the remembered keys, or fetch them if they are too old or from the future."""
        with self._lock:
            held = self._held or self._load()
            if held is None or not held[0] <= at < held[0] + self._max_age:
                held = self._fetch(at)
            self._held = held
            return held[1]

    def renewed(self, *, at: datetime) -> KeySet | None:
        """Fetch the keys anew, unless that was done within the last minute."""
        with self._lock:
            tried = [each for each in (self._asked, self._held and self._held[0]) if each is not None]
            if any(timedelta(0) <= at - each < self._min_interval for each in tried):
                return None
            self._asked = at
            self._held = self._fetch(at)
            return self._held[1]

    def _fetch(self, at: datetime) -> tuple[datetime, KeySet]:
        raw, keys = self._service.key_set(self._issuer)
        if self._folder is not None:
            self._folder.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
            disk.check_private(self._folder)  # whoever can write here decides whose tokens count
            content = {"fetched_at": int(at.timestamp()), "keys": b64encode(raw).decode("ascii")}
            disk.replace_public(self._file(self._folder), json.dumps(content).encode("ascii"))
        return at, keys

    def _load(self) -> tuple[datetime, KeySet] | None:
        """Return what an earlier process kept; None if there is nothing, or nothing that can be used."""
        if self._folder is None or not self._file(self._folder).exists():
            return None
        disk.check_private(self._folder)
        try:
            data = disk.read_bounded(self._file(self._folder), limit=_MAX_FILE_BYTES)
            match strict_json.loads(data, what="the kept key set", error=KeySetUnusable, max_depth=2):
                case {"fetched_at": int(seconds), "keys": str(encoded)}:
                    raw = b64decode(encoded, validate=True)
                    keys = KeySet.parse(raw, issuer=self._issuer, url=self._service.address.key_set_url)
                    return datetime.fromtimestamp(seconds, UTC), keys
        except (KeySetUnusable, NotBase64, ValueError, OverflowError, FileNotFoundError):
            return None  # a torn or foreign file is only a cache that does not help
        return None

    def _file(self, folder: Path) -> Path:
        about = "\n".join((self._service.profile.source, self._issuer, self._service.address.key_set_url))
        return folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"
