"""Keys from rings that this process holds: what every other way to keep keys comes down to."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, Protocol

from strongroom.analytics.keys.service import DataKey, KeyNotGranted
from strongroom.datasets import wrapping
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import KeyId
from strongroom.datasets.wrapping import DATA_KEY_BYTES, BadDataKey
from strongroom.secret import Secret

DATA_KEY_SIZE: Final = 16  # AES-128, as sealed files have it


class Wrapping(Protocol):
    """What is needed to make a data key."""

    def current(self, name: str) -> KeyId:
        """Return the version that counts."""

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped."""


def fresh_data_key(keys: Wrapping, name: str, size: int) -> DataKey:
    """Return a new data key under the current version of a primary key. Raises KeyNotGranted, BadDataKey."""
    if size not in DATA_KEY_BYTES:
        raise BadDataKey(f"a data key of {size} bytes is none")
    key_id, key = keys.current(name), Secret(secrets.token_bytes(size))
    return DataKey(key, keys.wrap(key_id, key), key_id)


class RingKeys:
    """A KeyService over rings in memory."""

    def __init__(self, rings: Iterable[KeyRing]) -> None:
        self._rings: Final = {ring.name: ring for ring in rings}

    def names(self) -> tuple[str, ...]:
        """Return the names of the primary keys that may be used, sorted."""
        return tuple(sorted(self._rings))

    def current(self, name: str) -> KeyId:
        """Return the version under which new data keys are wrapped. Raises KeyNotGranted."""
        return self._ring(name).current_id

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped under one version. Raises KeyNotGranted, UnknownKeyVersion, BadDataKey."""
        return wrapping.wrap(self._ring(key_id.name).key(key_id), key, key_id)

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return the data key of a wrapped one. Raises KeyNotGranted, UnknownKeyVersion, WrappedKeyRefused."""
        return wrapping.unwrap(self._ring(key_id.name).key(key_id), wrapped, key_id)

    def new_data_key(self, name: str, size: int = DATA_KEY_SIZE) -> DataKey:
        """Return a fresh data key of `size` bytes under the current version. Raises KeyNotGranted, BadDataKey."""
        return fresh_data_key(self, name, size)

    def close(self) -> None:
        """Let go of the keys."""
        for ring in self._rings.values():
            for key in ring.keys.values():
                key.wipe()
        self._rings.clear()

    def _ring(self, name: str) -> KeyRing:
        ring = self._rings.get(name)
        if ring is None:
            raise KeyNotGranted(f"primary key {name[:60]!r} was not given to this process")
        return ring
