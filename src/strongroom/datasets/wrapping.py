"""Data keys under primary keys, in the form that Parquet files hold them in. Pure but for fresh nonces.

`base64(nonce ‖ AES-256-GCM(primary key, data key, aad = key id))`, as parquet-java's LocalWrapKmsClient and Arrow's
do it, so that plain Spark and pyarrow read our files with the same keys. A wrapped key opens under its own id alone.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.datasets.names import KeyId
from strongroom.errors import BadInput, Tampered
from strongroom.secret import Secret

PRIMARY_KEY_BYTES: Final = 32
DATA_KEY_BYTES: Final = frozenset({16, 24, 32})
MAX_WRAPPED_CHARS: Final = 80
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
JOB_SECRET_BYTES: Final = 32
_APPLICATION: Final = b"strongroom/spark/application/1\0"


class BadPrimaryKey(BadInput):
    """The bytes are no primary key: 32 bytes, chosen at random, not text."""

    code = "SR-DATA-PRIMARY-KEY"
    fix = "Make the key with strongroom data key."


class BadDataKey(BadInput):
    """A data key has another length than AES keys have."""

    code = "SR-DATA-KEY"
    fix = "Use a data key of 16, 24 or 32 bytes."


class WrappedKeyRefused(Tampered):
    """A wrapped data key does not open: it was changed, cut, or wrapped under another primary key or version."""

    code = "SR-DATA-UNWRAP"
    fix = "Use the broker or key file that the data was sealed with, or take the files anew from where they were made."


def check_primary_key(key: Secret) -> Secret:
    """Return a primary key. Raises BadPrimaryKey."""
    if len(key) != PRIMARY_KEY_BYTES:
        raise BadPrimaryKey(f"a primary key has {PRIMARY_KEY_BYTES} bytes, these are {len(key)}")
    with key.reveal() as raw:
        if len(set(raw)) <= PRIMARY_KEY_BYTES // 4:  # 32 random bytes have fewer than 9 values once in 10^40
            raise BadPrimaryKey("a primary key of so few different bytes was not chosen at random")
    return key


def wrap(primary: Secret, data_key: Secret, key_id: KeyId) -> str:
    """Return a data key under a primary key. Raises BadPrimaryKey, BadDataKey."""
    if len(data_key) not in DATA_KEY_BYTES:
        raise BadDataKey(f"a data key of {len(data_key)} bytes is none")
    nonce = secrets.token_bytes(NONCE_BYTES)
    with check_primary_key(primary).reveal() as key, data_key.reveal() as raw:
        return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, raw, str(key_id).encode())).decode()


def unwrap(primary: Secret, wrapped: str, key_id: KeyId) -> Secret:
    """Return the data key of a wrapped one. Raises BadPrimaryKey, WrappedKeyRefused."""
    if len(wrapped) > MAX_WRAPPED_CHARS:
        raise WrappedKeyRefused(f"a wrapped key of {len(wrapped)} characters is none")
    try:
        raw = base64.b64decode(wrapped, validate=True)
    except (binascii.Error, ValueError):
        raise WrappedKeyRefused("a wrapped key is not base64") from None
    if len(raw) - NONCE_BYTES - TAG_BYTES not in DATA_KEY_BYTES or base64.b64encode(raw).decode() != wrapped:
        raise WrappedKeyRefused(f"a wrapped key of {len(raw)} bytes is none")
    with check_primary_key(primary).reveal() as key:
        try:
            opened = AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], str(key_id).encode())
        except InvalidTag:
            raise WrappedKeyRefused(f"a data key does not open under {key_id}") from None
    return Secret(opened)


def application_secret(job_secret: Secret, application: str) -> str:
    """Return Spark's secret of one application (64 hexadecimal digits), from what attested processes alone are given.

    `application`: the name that driver and executors agree on, which may be known to all. Raises BadPrimaryKey.
    """
    with check_primary_key(job_secret).reveal() as key:
        info = _APPLICATION + application.encode()
        return HKDF(algorithm=SHA256(), length=JOB_SECRET_BYTES, salt=None, info=info).derive(key).hex()
