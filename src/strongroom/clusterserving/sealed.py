"""Sealed records and results: what lies in Redis is readable by the attested workers and the sender alone.

Pure but for fresh random bytes. A record is sealed to the workers' queue key (HPKE, RFC 9180: X25519, HKDF-SHA256,
AES-256-GCM), its result under a key that came inside it. Both are bound to job, uri, model and version, a result to its
entry in the stream as well, so that what is swapped or replayed does not open. Source: spec `cluster-serving.md`
section 11.8; decision: docs/decisions/0023-sealed-records.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from strongroom.clusterserving.faults import UnsealFailed
from strongroom.errors import BadInput, Unreachable
from strongroom.secret import Secret

REQUEST_LABEL: Final = b"strongroom cs request v1"
RESPONSE_LABEL: Final = b"strongroom cs response v1"
KEY_BYTES: Final = 32
MAX_KEYS: Final = 4  # that a queue accepts at a time
ENC_BYTES: Final = 32  # the sender's half of the key exchange, fresh for each record
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12
RESULT_FORM: Final = 1  # the first byte of a sealed result
LEAST_RECORD_BYTES: Final = ENC_BYTES + 1 + KEY_BYTES + TAG_BYTES
LEAST_RESULT_BYTES: Final = 1 + NONCE_BYTES + 1 + TAG_BYTES
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEPARATOR: Final = b"\0"


class InnerSerde(IntEnum):
    """What lies inside a sealed record: the first byte of its plaintext."""

    ARROW = 0
    JSON = 1
    RAW = 2


class ResultKind(IntEnum):
    """What lies inside a sealed result: the first byte of its plaintext. Nobody can turn one kind into another."""

    ARROW = 0
    TEXT = 1
    RAW = 2
    ERROR = 3


class BadQueueKey(BadInput):
    """The bytes are no queue key: X25519 keys of 32 bytes each, one to four of them, all different."""

    code = "SR-QUEUE-KEY"
    fix = "Make the key with strongroom queue key, which also rotates it."


class BadBinding(BadInput):
    """A job, uri or model cannot be bound to a record: it is empty or holds a NUL, or the version is not positive."""

    code = "SR-QUEUE-BINDING"
    fix = "Use a model's name without NUL and a version from 1 on, as the workers' heartbeats name them."


class UnknownQueueKey(Unreachable):
    """A record is sealed to a queue key that this worker does not hold; it is left to a worker that does."""

    code = "SR-QUEUE-KID"
    fix = (
        "Fetch the queue's public key file again (strongroom queue key writes it), or start workers that get this key."
    )


@dataclass(frozen=True, slots=True)
class Binding:
    """What a record belongs to. Raises BadBinding for parts that could run into each other."""

    job: str
    uri: str
    model: str
    version: int

    def __post_init__(self) -> None:
        if self.version < 1 or any(not part or "\0" in part for part in (self.job, self.uri, self.model)):
            raise BadBinding(f"{self.model[:80]!r} version {self.version} of job {self.job[:80]!r} cannot be bound")

    def request_info(self) -> bytes:
        """Return HPKE's `info` of the record."""
        return self._joined(REQUEST_LABEL)

    def result_aad(self, entry_id: str) -> bytes:
        """Return what a result is authenticated with: the same, and the entry of the stream that it answers."""
        return self._joined(RESPONSE_LABEL, entry_id)

    def _joined(self, label: bytes, *more: str) -> bytes:
        texts = (self.job, self.uri, self.model, str(self.version), *more)
        try:
            return _SEPARATOR.join((label, *(each.encode() for each in texts)))
        except UnicodeEncodeError:
            raise BadBinding("a name to bind is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class QueuePublicKey:
    """What records are sealed to: an X25519 public key, raw. Raises BadQueueKey for another length."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise BadQueueKey(f"a public queue key has {KEY_BYTES} bytes, this one {len(self.raw)}")

    @property
    def kid(self) -> str:
        """The name of the key in records: the first 16 hex digits of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class QueueKey:
    """The workers' half of a queue key. `from_secret` makes one; the key itself is OpenSSL's from then on."""

    private: X25519PrivateKey = field(repr=False)
    public: QueuePublicKey

    @classmethod
    def from_secret(cls, secret: Secret) -> Self:
        """Return the key that 32 secret bytes are. Raises BadQueueKey."""
        if len(secret) != KEY_BYTES:
            raise BadQueueKey(f"a queue key has {KEY_BYTES} bytes, this one {len(secret)}")
        with secret.reveal() as raw:
            private = X25519PrivateKey.from_private_bytes(raw)
        return cls(private, QueuePublicKey(private.public_key().public_bytes_raw()))


@dataclass(frozen=True, slots=True, eq=False)
class OpenedRecord:
    """A sealed record's content: the form of its payload, the key for its result, the payload."""

    serde: InnerSerde
    response_key: Secret
    payload: bytes


def keys_of(secret: Secret) -> tuple[QueueKey, ...]:
    """Return the keys of a queue's secret, newest first: during a rotation there are two. Raises BadQueueKey."""
    count, rest = divmod(len(secret), KEY_BYTES)
    if rest or not 1 <= count <= MAX_KEYS:
        raise BadQueueKey(
            f"a queue's secret has 1 to {MAX_KEYS} keys of {KEY_BYTES} bytes, this one {len(secret)} bytes"
        )
    with secret.reveal() as raw:
        found = tuple(
            QueueKey.from_secret(Secret(raw[at : at + KEY_BYTES])) for at in range(0, count * KEY_BYTES, KEY_BYTES)
        )
    if len({key.public.kid for key in found}) != count:
        raise BadQueueKey("a queue's secret holds one key twice")
    return found


def new_response_key(entropy: Callable[[int], bytes] = secrets.token_bytes) -> Secret:
    """Return a fresh key for one record's result."""
    return Secret(entropy(KEY_BYTES))


def seal_record(
    payload: bytes, serde: InnerSerde, *, to: QueuePublicKey, binding: Binding, response_key: Secret
) -> bytes:
    """Return a record's `data`: the sender's half of the exchange, then ciphertext. Raises BadQueueKey, BadBinding."""
    if len(response_key) != KEY_BYTES:
        raise BadQueueKey(f"a response key has {KEY_BYTES} bytes")
    with response_key.reveal() as key:
        plain = bytes((serde,)) + key + payload
    try:
        return _SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(to.raw), binding.request_info())
    except ValueError:  # a point of small order: no secret could be agreed on
        raise BadQueueKey("the public queue key is not a usable X25519 key") from None


def open_record(data: bytes, *, key: QueueKey, binding: Binding) -> OpenedRecord:
    """Open a record's `data`. Raises UnsealFailed, which does not say what of the binding or the bytes is wrong."""
    if len(data) < LEAST_RECORD_BYTES:
        raise UnsealFailed("the sealed record is cut short", uri=binding.uri)
    try:
        plain = _SUITE.decrypt(data, key.private, binding.request_info())
    except (InvalidTag, ValueError):
        raise UnsealFailed(
            f"the record does not open with queue key {key.public.kid} for {binding.model} version {binding.version}",
            uri=binding.uri,
        ) from None
    try:
        serde = InnerSerde(plain[0])
    except ValueError:
        raise UnsealFailed(f"the sealed record holds form {plain[0]}, which nobody reads", uri=binding.uri) from None
    return OpenedRecord(serde, Secret(plain[1 : 1 + KEY_BYTES]), plain[1 + KEY_BYTES :])


def seal_result(
    payload: bytes, kind: ResultKind, *, response_key: Secret, binding: Binding, entry_id: str,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:  # fmt: skip
    """Return a result's `value`: base64 of form, nonce and ciphertext. Raises BadBinding."""
    nonce = entropy(NONCE_BYTES)
    with response_key.reveal() as key:
        sealed = AESGCM(key).encrypt(nonce, bytes((kind,)) + payload, binding.result_aad(entry_id))
    return base64.b64encode(bytes((RESULT_FORM,)) + nonce + sealed)


def open_result(
    value: str | bytes, *, response_key: Secret, binding: Binding, entry_id: str
) -> tuple[ResultKind, bytes]:
    """Return the kind and payload of a result's `value`. `entry_id`: the one that the queue answered to the sender.

    Raises UnsealFailed for a result of another record, entry, model or version, and for changed bytes.
    """
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise UnsealFailed("the result is not sealed, or is not base64", uri=binding.uri) from None
    if len(data) < LEAST_RESULT_BYTES or data[0] != RESULT_FORM:
        raise UnsealFailed("the result is not in a sealed form that is known", uri=binding.uri)
    try:
        with response_key.reveal() as key:
            plain = AESGCM(key).decrypt(
                data[1 : 1 + NONCE_BYTES], data[1 + NONCE_BYTES :], binding.result_aad(entry_id)
            )
        return ResultKind(plain[0]), plain[1:]
    except (InvalidTag, ValueError):
        raise UnsealFailed(
            "the result is not what a worker wrote for this record, entry, model and version", uri=binding.uri
        ) from None


@dataclass(frozen=True, slots=True)
class SealTo:
    """The client's half: records are sealed to the workers of a job that hold this key and serve this version.

    It is what `record.request_fields` and `result.read_result` ask for (RecordSealer, ResultOpener).
    """

    key: QueuePublicKey
    job: str
    model: str
    version: int

    def binding(self, uri: str) -> Binding:
        """Return what a record is bound to. Raises BadBinding."""
        return Binding(self.job, uri, self.model, self.version)

    def seal(self, inner: int, payload: bytes, *, uri: str, response_key: Secret) -> tuple[str, bytes]:
        """Return a record's `kid` and `data`. Raises BadQueueKey or BadBinding."""
        serde = InnerSerde(inner)
        return self.key.kid, seal_record(
            payload, serde, to=self.key, binding=self.binding(uri), response_key=response_key
        )

    def open(self, value: bytes, *, uri: str, entry_id: str, response_key: Secret) -> tuple[int, bytes]:
        """Return kind and payload of a result's `value`. Raises UnsealFailed."""
        kind, payload = open_result(value, response_key=response_key, binding=self.binding(uri), entry_id=entry_id)
        return int(kind), payload
