"""Wrap keys and secrets so that they open only under the right key and in the right place (threats KD-06, KD-16).

Pure: the caller brings the nonce. AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives from the wrapping key and
the whole context; the context is authenticated as well. Format: one byte 1, 12 bytes nonce, ciphertext, 16 bytes tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.errors import Tampered
from strongroom.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # random: no key wraps more than a few thousand times, for it belongs to one context
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + TAG_BYTES
FORMAT: Final = 1
_LABEL: Final = b"strongroom keyring AES-256-GCM v1"


class EnvelopeTampered(Tampered):
    """Something wrapped does not open in its place: it was changed, moved there, or wrapped by another key."""

    code = "SR-ENVELOPE"
    fix = "Restore the store from a backup, and find out who can write to it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where something wrapped belongs; every field is authenticated and takes part in the derived key."""

    purpose: str  # "tenant-key", "secret" or "root-key"
    tenant: str = ""
    name: str = ""
    version: int = 0
    generation: int = 0

    def encode(self) -> bytes:
        """Return the context as bytes that no other context has: texts have their length in front."""
        texts = b"".join(
            len(raw).to_bytes(2, "big") + raw
            for raw in (text.encode() for text in (self.purpose, self.tenant, self.name))
        )
        return _LABEL + texts + self.version.to_bytes(8, "big") + self.generation.to_bytes(8, "big")


def derive(key: Secret, context: bytes) -> bytes:
    """Return the 32-byte key of one context (KD-16: a version, the algorithm, the purpose and the tenant are in it)."""
    with key.reveal() as raw:
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=context).derive(raw)


def wrap(key: Secret, content: Secret, context: bytes, *, nonce: bytes) -> bytes:
    """Return `content` wrapped for `context`; `nonce` is 12 fresh random bytes."""
    with content.reveal() as raw:
        return bytes([FORMAT]) + nonce + AESGCM(derive(key, context)).encrypt(nonce, raw, context)


def unwrap(key: Secret, wrapped: bytes, context: bytes) -> Secret:
    """Return what was wrapped under `key` for exactly `context`. Raises EnvelopeTampered."""
    if len(wrapped) < OVERHEAD_BYTES or wrapped[0] != FORMAT:
        raise EnvelopeTampered(f"{len(wrapped)} wrapped bytes are not of the format {FORMAT}")
    nonce, body = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
    try:
        return Secret(AESGCM(derive(key, context)).decrypt(nonce, body, context))
    except InvalidTag:
        raise EnvelopeTampered("something wrapped does not open under its key and in its place") from None
