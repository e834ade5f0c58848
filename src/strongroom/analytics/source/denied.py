"""Keys that remember what they refused: Arrow asks for them within its own code, and reports in its own words."""

from __future__ import annotations

from typing import Final

from strongroom.analytics.keys.service import DataKey, KeyNotGranted, KeyService
from strongroom.datasets.names import KeyId
from strongroom.secret import Secret


class DenialNoted:
    """A KeyService over another one."""

    def __init__(self, keys: KeyService) -> None:
        self._keys: Final = keys
        self.refused: Final[list[KeyId]] = []

    def names(self) -> tuple[str, ...]:
        """Return the names of the keys that may be used."""
        return self._keys.names()

    def current(self, name: str) -> KeyId:
        """Return the version that new data keys are wrapped under."""
        return self._keys.current(name)

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped."""
        return self._keys.wrap(key_id, key)

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return a data key; note it where it is not granted."""
        try:
            return self._keys.unwrap(key_id, wrapped)
        except KeyNotGranted:
            self.refused.append(key_id)
            raise

    def new_data_key(self, name: str, size: int = 16) -> DataKey:
        """Return a fresh data key."""
        return self._keys.new_data_key(name, size)

    def close(self) -> None:
        """Leave the keys to who opened them."""
