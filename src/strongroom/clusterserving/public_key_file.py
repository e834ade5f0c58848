"""The queue's public key as a file for clients: signed by the model's owner, so that nobody else can offer one. Pure.

A client that seals to a key from anywhere else seals to whoever answered. The file says for which job, model and
version the key is, and until when; a version of "*" leaves it to the client, which then names the one it means.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from strongroom.clusterserving.names import Job
from strongroom.clusterserving.sealed import BadQueueKey, QueuePublicKey, SealTo
from strongroom.errors import BadInput, Refused, Tampered

MAX_FILE_BYTES: Final = 16 * 1024
MAX_MODEL_CHARS: Final = 128
MAX_VERSION: Final = 2**63 - 1
ANY_VERSION: Final = "*"
FORMAT: Final = "strongroom queue key v1"
_LABEL: Final = b"strongroom queue key v1\0"  # what is signed begins with it: no other signature of the owner's counts
_FIELDS: Final = frozenset({"format", "job", "model", "version", "kid", "key", "not_after", "signature"})
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class BadKeyFile(BadInput):
    """A public queue key file is not in its form."""

    code = "SR-QUEUE-KEY-FILE"
    fix = "Take the file as strongroom queue key wrote it."


class KeyFileForged(Tampered):
    """A public queue key file was not signed by this owner, or was changed since."""

    code = "SR-QUEUE-KEY-SIGNATURE"
    fix = "Get the file and owner_public.pem from the model's owner again, each by a way that you trust."


class KeyFileExpired(Refused):
    """A public queue key file is over."""

    code = "SR-QUEUE-KEY-EXPIRED"
    fix = "Ask the model's owner for the present file: strongroom queue key writes one."


class OtherQueue(Refused):
    """A public queue key is for another job, or for another version of the model, than the record."""

    code = "SR-QUEUE-KEY-OTHER"
    fix = "Use the key file that the owner made for this job and model version."


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeyFile:
    """What the owner signs. `version` None: any version of the model. `not_after`: UTC, whole seconds."""

    job: str
    model: str
    version: int | None
    key: QueuePublicKey
    not_after: datetime

    def signed(self, signer: Ed25519PrivateKey) -> bytes:
        """Return the file's content."""
        body = self._body()
        signature = signer.sign(_LABEL + _canonical(body))
        return (json.dumps({**body, "signature": _base64(signature)}, indent=2) + "\n").encode()

    @classmethod
    def read(cls, data: bytes, *, owner: Ed25519PublicKey, now: datetime) -> Self:
        """Return what a file says. Raises BadKeyFile, KeyFileForged or KeyFileExpired; the signature comes first."""
        body = _object(data)
        signature = _bytes(body.pop("signature"), "signature")
        try:
            owner.verify(signature, _LABEL + _canonical(body))
        except InvalidSignature:
            raise KeyFileForged("the signature of the queue's public key file does not hold") from None
        found = cls._parsed(body)
        if now >= found.not_after:
            raise KeyFileExpired(f"queue key {found.key.kid} of job {found.job} was good until {body['not_after']}")
        return found

    def seal_to(self, *, job: str, version: int | None = None) -> SealTo:
        """Return whom records of a job are sealed to; `version` is needed where the file leaves it open.

        Raises OtherQueue.
        """
        if job != self.job:
            raise OtherQueue(f"the key file is for job {self.job}, records go to {job[:128]}")
        if self.version is not None and version not in (None, self.version):
            raise OtherQueue(f"the key file is for version {self.version} of {self.model}, wanted is {version}")
        chosen = self.version if self.version is not None else version
        if chosen is None:
            raise OtherQueue(
                f"the key file is for any version of {self.model}, and none is named",
                fix="Name the version that the workers serve; strongroom queue status shows it.",
            )
        return SealTo(self.key, self.job, self.model, chosen)

    def _body(self) -> dict[str, str | int]:
        return {
            "format": FORMAT, "job": self.job, "model": self.model,
            "version": ANY_VERSION if self.version is None else self.version, "kid": self.key.kid,
            "key": _base64(self.key.raw), "not_after": self.not_after.astimezone(UTC).strftime(_TIME),
        }  # fmt: skip

    @classmethod
    def _parsed(cls, body: dict[str, Any]) -> Self:
        if body["format"] != FORMAT:
            raise BadKeyFile(f"the key file is of format {str(body['format'])[:40]!r}, known is {FORMAT!r}")
        model, version = body["model"], body["version"]
        if not isinstance(model, str) or not 1 <= len(model) <= MAX_MODEL_CHARS or "\0" in model:
            raise BadKeyFile("the key file's model is not a name")
        if version != ANY_VERSION and (type(version) is not int or not 1 <= version <= MAX_VERSION):
            raise BadKeyFile('the key file\'s version is neither a number from 1 on nor "*"')
        try:
            key = QueuePublicKey(_bytes(body["key"], "key"))
        except BadQueueKey as problem:
            raise BadKeyFile(problem.sentence) from None
        if body["kid"] != key.kid:
            raise BadKeyFile("the key file's kid is not that of its key")
        return cls(
            job=Job(_text(body["job"], "job")).name, model=model, version=None if version == ANY_VERSION else version,
            key=key, not_after=_time(_text(body["not_after"], "not_after")),
        )  # fmt: skip


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_FILE_BYTES:
        raise BadKeyFile(f"the key file is longer than {MAX_FILE_BYTES} bytes")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadKeyFile("the key file is not JSON, or names a field twice") from None
    if not isinstance(found, dict) or found.keys() != _FIELDS:
        raise BadKeyFile(f"the key file has other fields than {', '.join(sorted(_FIELDS))}")
    if not all(type(value) in (str, int) for value in found.values()):
        raise BadKeyFile("the key file holds something that is neither text nor a whole number")
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_: str) -> None:
    raise ValueError


def _canonical(body: dict[str, Any]) -> bytes:
    """Return the one text of texts and whole numbers that is signed."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(_text(value, what), validate=True)
    except (binascii.Error, ValueError):
        raise BadKeyFile(f"the key file's {what} is not base64") from None


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise BadKeyFile(f"the key file's {what} is not text")
    return value


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise BadKeyFile("the key file's not_after is not a time such as 2027-01-31T00:00:00Z") from None
