"""All versions of one primary key that may still be used: the bytes of a secret at the broker, or of a key file. Pure.

New data keys are wrapped under the current version; older ones open what was written before, until it is rewrapped.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from strongroom.datasets.names import MAX_KEY_VERSION, KeyId, check_key_name
from strongroom.datasets.wrapping import PRIMARY_KEY_BYTES, BadPrimaryKey, check_primary_key
from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret
from strongroom.wire import strict_json

MAX_VERSIONS: Final = 16
MAX_BYTES: Final = 4096
_FIELDS: Final = frozenset({"current", "keys"})


class BadKeyRing(BadInput):
    """A primary key's secret or file is not in its form."""

    code = "SR-DATA-KEY-RING"
    fix = "Make the key with strongroom data key, which also rotates it."


class UnknownKeyVersion(Refused):
    """A version of a primary key is not, or no longer, among those that were released."""

    code = "SR-DATA-KEY-VERSION"
    fix = "Rewrap the data with strongroom data rekey while its version is still there, or ask for the key anew."


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A primary key's versions. `keys`: version -> 32 bytes."""

    name: str
    current: int
    keys: Mapping[int, Secret]

    def __post_init__(self) -> None:
        """Hold the form however a ring was made. Raises BadKeyName, BadKeyRing, BadPrimaryKey."""
        check_key_name(self.name)
        if not 1 <= len(self.keys) <= MAX_VERSIONS or self.current not in self.keys:
            raise BadKeyRing(f"primary key {self.name} has one to {MAX_VERSIONS} versions, the current one among them")
        if not all(1 <= version <= MAX_KEY_VERSION for version in self.keys):
            raise BadKeyRing(f"a version of primary key {self.name} is out of range")
        for key in self.keys.values():
            check_primary_key(key)

    @classmethod
    def fresh(cls, name: str) -> Self:
        """Return a new primary key of one version."""
        return cls(name, 1, {1: Secret(secrets.token_bytes(PRIMARY_KEY_BYTES))})

    @classmethod
    def parse(cls, name: str, data: bytes) -> Self:
        """Read a ring. Raises BadKeyName, BadKeyRing, BadPrimaryKey."""
        body = strict_json.loads(data, what="a primary key", error=BadKeyRing, max_bytes=MAX_BYTES, max_depth=2)
        if not isinstance(body, dict) or body.keys() != _FIELDS or type(body["current"]) is not int:
            raise BadKeyRing(f"primary key {name[:60]} is not current and keys")
        if not isinstance(body["keys"], dict) or len(body["keys"]) > MAX_VERSIONS:
            raise BadKeyRing(f"primary key {name[:60]} has up to {MAX_VERSIONS} versions")
        return cls(name, body["current"], {_version(text): _key(value) for text, value in body["keys"].items()})

    def to_bytes(self) -> bytes:
        """Return the secret's bytes."""
        keys = {}
        for version, key in sorted(self.keys.items()):
            with key.reveal() as raw:
                keys[str(version)] = base64.b64encode(raw).decode()
        return json.dumps({"current": self.current, "keys": keys}).encode()

    def rotated(self) -> Self:
        """Return the ring with one version more, which is then current. Raises BadKeyRing where it is full."""
        version = max(self.keys) + 1
        return type(self)(self.name, version, {**self.keys, version: Secret(secrets.token_bytes(PRIMARY_KEY_BYTES))})

    def current_alone(self) -> Self:
        """Return the ring without the versions before: what is wrapped under these opens no more."""
        return type(self)(self.name, self.current, {self.current: self.keys[self.current]})

    @property
    def current_id(self) -> KeyId:
        """The version that new data keys are wrapped under."""
        return KeyId(self.name, self.current)

    def key(self, key_id: KeyId) -> Secret:
        """Return one version. Raises UnknownKeyVersion."""
        found = self.keys.get(key_id.version) if key_id.name == self.name else None
        if found is None:
            raise UnknownKeyVersion(f"{key_id} is not among the versions of primary key {self.name}")
        return found


def _version(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 6 or text.startswith("0"):
        raise BadKeyRing("a version of a primary key is no number")
    return int(text)


def _key(value: object) -> Secret:
    if not isinstance(value, str) or len(value) > MAX_BYTES:
        raise BadKeyRing("a version of a primary key is base64")
    try:
        return check_primary_key(Secret(base64.b64decode(value, validate=True)))
    except (binascii.Error, ValueError):
        raise BadPrimaryKey("a version of a primary key is not base64") from None
