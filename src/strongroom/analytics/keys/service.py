"""What everybody who reads or writes sealed data asks for keys, wherever these are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from strongroom.datasets.names import KeyId
from strongroom.errors import Refused
from strongroom.secret import Secret

MAX_TOLD: Final = 8  # names of keys that a remedy lists


class KeyNotGranted(Refused):
    """A primary key is not among those that this process was given."""

    code = "SR-DATA-KEY-DENIED"
    fix = "Name the key when the job is submitted (--key), and release secret/data-NAME to the job's programs."


def there_are(names: Sequence[str]) -> str:
    """Return the end of a remedy that says which keys there are: the one that was meant is often among them."""
    more = ", …" if len(names) > MAX_TOLD else ""
    return f" (there are: {', '.join(names[:MAX_TOLD])}{more})" if names else ""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data key, and the same under a primary key."""

    plain: Secret
    wrapped: str
    key_id: KeyId


class KeyService(Protocol):
    """Wraps and unwraps data keys under primary keys that it does not hand out; for any thread."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the primary keys that may be used, sorted."""

    def current(self, name: str) -> KeyId:
        """Return the version under which new data keys are wrapped. Raises KeyNotGranted."""

    def wrap(self, key_id: KeyId, key: Secret) -> str:
        """Return a data key wrapped under one version. Raises KeyNotGranted, BadDataKey."""

    def unwrap(self, key_id: KeyId, wrapped: str) -> Secret:
        """Return the data key of a wrapped one. Raises KeyNotGranted, WrappedKeyRefused."""

    def new_data_key(self, name: str, size: int = 16) -> DataKey:
        """Return a fresh data key of `size` bytes under the current version. Raises KeyNotGranted, BadDataKey."""

    def close(self) -> None:
        """Let go of keys and connections."""
