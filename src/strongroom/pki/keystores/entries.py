"""What a key store holds, whatever its format: a private key with its chain, and certificates to trust. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.errors import BadInput, Tampered
from strongroom.secret import Secret

MAX_STORE_BYTES: Final = 1024 * 1024
MAX_ENTRIES: Final = 256
MAX_CHAIN: Final = 16
MAX_ALIAS_BYTES: Final = 512


class BadKeyStore(BadInput):
    """A key store cannot be read: it is none of JKS and PKCS #12, cut off, or larger than any of its kind."""

    code = "SR-KEYSTORE"
    fix = "Make a new one with strongroom keys generate."


class WrongStorePassword(Tampered):
    """A key store's checksum does not fit: another password, or bytes that were changed."""

    code = "SR-KEYSTORE-PASSWORD"
    fix = "Give the password that the store was made with; if it is the right one, make a new store."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A private key (PKCS #8, DER) and its certificates (DER), the key's own first."""

    alias: str
    key: Secret
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedEntry:
    """A certificate (DER) that whoever holds the store trusts."""

    alias: str
    certificate: bytes


Entry = KeyEntry | TrustedEntry
