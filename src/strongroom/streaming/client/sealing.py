"""The client's half of sealed records: sealed to the key that the model's owner signed, results opened here alone.

World: the key file, the owner's public signing key, and the clock that says whether the file is over. Source: spec
`cluster-serving.md` section 11.8.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.clusterserving.public_key_file import MAX_FILE_BYTES, KeyFileExpired, PublicKeyFile
from strongroom.clusterserving.sealed import SealTo
from strongroom.pki import disk
from strongroom.pki.signing import load_owner_public
from strongroom.secret import Secret
from strongroom.streaming.client.settings import BadQueueOption

MAX_PEM_BYTES: Final = 16 * 1024


class Sealer:
    """Seals records of one job for one version of a model, and opens their results."""

    def __init__(self, to: SealTo, not_after: datetime, *, now: Callable[[], datetime]) -> None:
        self._to, self._not_after, self._now = to, not_after, now

    @classmethod
    def of(cls, key_file: Path, owner_key: Path | None, *, job: str, version: int | None = None) -> Sealer:
        """Read whom to seal to. Raises BadQueueOption, BadSigningKey, and what the key file raises."""
        if owner_key is None:
            raise BadQueueOption(
                "seal_to needs owner_key, the owner's public signing key: without it anybody could offer a queue key",
                fix="Get owner_public.pem from the model's owner and give it as owner_key.",
            )
        try:
            pem = disk.read_bounded(owner_key, limit=MAX_PEM_BYTES)
            data = disk.read_bounded(key_file, limit=MAX_FILE_BYTES + 1)
        except OSError as problem:
            raise BadQueueOption(f"{problem.filename} cannot be read: {problem.strerror}") from None
        found = PublicKeyFile.read(data, owner=load_owner_public(pem), now=_now())
        return cls(found.seal_to(job=job, version=version), found.not_after, now=_now)

    def seal(self, inner: int, payload: bytes, *, uri: str, response_key: Secret) -> tuple[str, bytes]:
        """Return `kid` and the sealed `data`. Raises KeyFileExpired, BadBinding."""
        if self._now() >= self._not_after:
            raise KeyFileExpired(f"queue key {self._to.key.kid} is over since {self._not_after:%Y-%m-%d %H:%M} UTC")
        return self._to.seal(inner, payload, uri=uri, response_key=response_key)

    def open(self, value: bytes, *, uri: str, entry_id: str, response_key: Secret) -> tuple[int, bytes]:
        """Return kind and payload of a sealed result. Raises UnsealFailed."""
        return self._to.open(value, uri=uri, entry_id=entry_id, response_key=response_key)


def _now() -> datetime:
    return datetime.now(UTC)
