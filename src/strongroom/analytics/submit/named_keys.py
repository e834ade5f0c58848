"""A KeyService of which a job sees the keys that it was submitted with (--key), and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.analytics.keys.service import DataKey, KeyNotGranted, KeyService, there_are
from strongroom.datasets.names import KeyId, check_key_name
from strongroom.secret import Secret


class NamedKeys:
    """Raises KeyNotGranted at once where one of the names is not there, and for every other name later."""

    def __init__(self, keys: KeyService, names: Sequence[str]) -> None:
        self._keys: Final = keys
        self._names: Final = tuple(sorted(map(check_key_name, names)))
        missing = sorted(set(self._names) - set(keys.names()))
        if missing:
            fix = f"Make it with strongroom data key, or name another with --key{there_are(keys.names())}."
            raise KeyNotGranted(f"there is no primary key {', '.join(missing)[:200]}", fix=fix)

    def names(self) -> tuple[str, ...]:
        """Return the names that the job may use."""
        return self._names

    def current(self, name: str) -> KeyId:
        """As KeyService."""
        return self._keys.current(self._granted(name))

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """As KeyService."""
        self._granted(key_id.name)
        return self._keys.wrap(key_id, key)

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """As KeyService."""
        self._granted(key_id.name)
        return self._keys.unwrap(key_id, wrapped)

    def new_data_key(self, name: str, size: int = 16) -> DataKey:
        """As KeyService."""
        return self._keys.new_data_key(self._granted(name), size)

    def close(self) -> None:
        """As KeyService."""
        self._keys.close()

    def _granted(self, name: str) -> str:
        if name not in self._names:
            raise KeyNotGranted(f"this job was not submitted with the primary key {name[:60]!r}")
        return name
