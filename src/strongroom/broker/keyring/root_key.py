"""What a root key is to the keyring: something that wraps tenants' keys, wherever its own bytes are.

Pure but for the random nonce. `LocalRoot` is the root whose 32 bytes this process holds, however they were kept.
"""

from __future__ import annotations

import secrets
from typing import Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.broker.keyring import envelope
from strongroom.errors import BadInput, Refused, Tampered, Unreachable
from strongroom.secret import Secret

ROOT_KEY_BYTES: Final = 32
_ID_LABEL: Final = b"strongroom root key id v1"


class RootKey(Protocol):
    """Threads may share it. Raises RootUnreachable where a token or a service does not answer."""

    @property
    def id(self) -> str:
        """Which root key it is, stored beside everything it wrapped: small letters, digits and dashes."""

    @property
    def description(self) -> str:
        """Where it is kept, for people."""

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Return `key` (32 bytes) wrapped so that it opens only with `context`."""

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Return what was wrapped with exactly `context`. Raises EnvelopeTampered."""

    def close(self) -> None:
        """Forget the key, or leave the token."""


class RootUnusable(BadInput):
    """What should hold or describe the root key does not: the wrong length, an unknown format, an unfit token."""

    code = "SR-ROOT-KEY"
    fix = "Restore it from a backup, or bring the root key back with strongroom key recover."


class RootMissing(Refused):
    """The store's keys are wrapped under a root key that is not here."""

    code = "SR-ROOT-MISSING"
    fix = "Bring the root key back (a copy of the workspace's root folder, or strongroom key recover)."


class RootUnreachable(Unreachable):
    """The token or service that holds the root key does not answer."""

    code = "SR-ROOT-UNREACHABLE"
    fix = "Check that the token is in and its PIN is right, or that the key service runs."


class RootNotHere(Refused):
    """This root key has no bytes that could be split: it never leaves its token or service."""

    code = "SR-ROOT-NOT-SHAREABLE"
    fix = "Use the backup that the token or the key service offers."


class RootDoesNotFit(Tampered):
    """A root key came back as another one than it was."""

    code = "SR-ROOT-OTHER"
    fix = "Check that the shares, or the file, belong to this workspace."


class LocalRoot:
    """A root key whose bytes are in this process."""

    def __init__(self, key: Secret, description: str) -> None:
        """Raises RootUnusable unless `key` has 32 bytes that could be secret."""
        with key.reveal() as raw:
            if len(raw) != ROOT_KEY_BYTES:
                raise RootUnusable(f"{description} holds {len(raw)} bytes, a root key has {ROOT_KEY_BYTES}")
            if len(set(raw)) < 8:  # 32 random bytes have fewer than eight values once in 10^40
                raise RootUnusable(f"{description} holds a pattern, not a random key")
        self._key = key
        self.id = root_id(key)
        self.description = description

    def wrap(self, key: Secret, context: bytes) -> bytes:
        """Wrap with the envelope of this room."""
        return envelope.wrap(self._key, key, context, nonce=secrets.token_bytes(envelope.NONCE_BYTES))

    def unwrap(self, wrapped: bytes, context: bytes) -> Secret:
        """Open the envelope. Raises EnvelopeTampered."""
        return envelope.unwrap(self._key, wrapped, context)

    @property
    def key(self) -> Secret:
        """The root key itself: for recovery shares and for keeping it another way."""
        return self._key

    def close(self) -> None:
        """Overwrite the key."""
        self._key.wipe()


def new_root_key() -> Secret:
    """Return 32 fresh random bytes."""
    return Secret(secrets.token_bytes(ROOT_KEY_BYTES))


def root_id(key: Secret) -> str:
    """Return the public name of a local root key; it says nothing about the key."""
    with key.reveal() as raw:
        return f"local-{HKDF(algorithm=SHA256(), length=8, salt=None, info=_ID_LABEL).derive(raw).hex()}"
