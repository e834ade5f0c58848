"""Wrap keys: which are fit for use, and the metadata key that is derived from them (spec 1.2).

A wrap key is 16 raw bytes and is used for nothing but one AES-CMAC (NIST SP 800-108, counter mode, one block) over
the nonce of a file's node 0.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from strongroom.errors import BadInput, Refused
from strongroom.secret import Secret

WRAP_KEY_BYTES: Final = 16
NONCE_BYTES: Final = 32
KDF_LABEL: Final = b"SGX-PROTECTED-FS-METADATA-KEY".ljust(64, b"\0")

# SHA-256 of wrap keys that everybody knows: digests, so that scanners for the keys themselves do not find them here.
PUBLIC_KEY_DIGESTS: Final = frozenset(
    {"f60d62729217ea30ad6a79e6a73af9a950e640019176081cd9eaeffee6af727e"}  # committed in Intel's CCZoo repository
)


class WrapKeyLength(BadInput):
    """A wrap key is not exactly 16 raw bytes."""

    code = "SR-WRAP-KEY"
    fix = "Use a file of exactly 16 raw bytes: no newline, no hex (from hex: xxd -r -p key.hex key)."


class WeakKey(Refused):
    """The key is publicly known or a constant: whoever has the file can read it."""

    code = "SR-WEAK-KEY"
    fix = "Make a fresh key (strongroom file encrypt --new-key KEYFILE) and seal under that."


def wrap_key_of(raw: bytes, *, what: str) -> Secret:
    """Return the content of a key file as a wrap key; `WrapKeyLength`, naming `what`, unless it is 16 bytes."""
    if len(raw) != WRAP_KEY_BYTES:
        raise WrapKeyLength(f"{what} holds {len(raw)} bytes, a wrap key is exactly {WRAP_KEY_BYTES} raw bytes")
    return Secret(raw)


def check_wrap_key(key: Secret, *, weak_key: bool = False) -> None:
    """Raise `WrapKeyLength` or `WeakKey` unless `key` is 16 bytes that could be secret.

    `weak_key=True` drops the second check, to bring a file out from under a publicly known key.
    """
    if len(key) != WRAP_KEY_BYTES:
        raise WrapKeyLength(f"the wrap key has {len(key)} bytes, wanted {WRAP_KEY_BYTES}")
    if weak_key:
        return
    with key.reveal() as raw:
        constant = hmac.compare_digest(raw, raw[:1] * WRAP_KEY_BYTES)
        public = hashlib.sha256(raw).hexdigest() in PUBLIC_KEY_DIGESTS
    if constant:
        raise WeakKey("the wrap key is one byte repeated")
    if public:
        raise WeakKey("the wrap key is the sample key published in the CCZoo repository")


def metadata_key(key: Secret, nonce: bytes) -> bytes:
    """Return the 16-byte key of a node 0 whose nonce is `nonce` (32 bytes)."""
    message = (1).to_bytes(4, "little") + KDF_LABEL + nonce + (128).to_bytes(4, "little")
    with key.reveal() as raw:
        cmac = CMAC(AES(raw))
    cmac.update(message)
    return cmac.finalize()
