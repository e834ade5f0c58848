"""Gramine's secret-provisioning protocol (V1), both ends without I/O.

Pure: bytes in, events out. The dialogue runs inside TLS, the same from Graphene 1.1 to Gramine 1.9: the enclave sends
35 bytes, the server answers 41 bytes and the secret. Whatever else arrives ends the dialogue (threat FB-17): the
caller closes the connection. Source: Gramine, `tools/sgx/ra-tls/secret_prov*.c`.
"""

from __future__ import annotations

from binascii import hexlify
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.errors import BadInput, Tampered
from strongroom.secret import Secret

DEFAULT_PORT: Final = 4433
REQUEST: Final = b"SECRET_PROVISION_RA_TLS_REQUEST_V1\0"  # 35 bytes
RESPONSE: Final = b"SECRET_PROVISION_RA_TLS_RESPONSE_V1:\0"  # 37 bytes, then u32 big-endian length, then the secret
HEADER_BYTES: Final = len(RESPONSE) + 4
MAX_SECRET_BYTES: Final = 64 * 1024  # the protocol's own limit is 0x7fffffff: nobody provisions that
PROTOCOL_LIMIT: Final = 0x7FFF_FFFF


class SecretFormat(StrEnum):
    """How a key is handed over; the protocol does not say, so the owner has to know which release reads it."""

    RAW16 = "raw16"  # its bytes: SECRET_PROVISION_SET_KEY, Gramine 1.3 and later
    HEX32Z = "hex32z"  # hex digits and a NUL: SECRET_PROVISION_SET_PF_KEY=1 up to 1.2, and Graphene


class ProvisioningRequestMalformed(BadInput):
    """A peer sent something else than Gramine's 35-byte request for a secret."""

    code = "SR-PROVISIONING-REQUEST"
    fix = "Point only Gramine's secret_prov library, or strongroom's own client, at this port."


class ProvisioningAnswerMalformed(Tampered):
    """A broker's answer does not follow Gramine's protocol, or its length is not allowed."""

    code = "SR-PROVISIONING-ANSWER"
    fix = "Check that the address is that of a broker; do not use what it sent."


class SecretSizeRefused(BadInput):
    """A secret is empty, or longer than the server may send."""

    code = "SR-SECRET-SIZE"
    fix = "Release a secret of 1 byte to 64 KiB; Gramine's encrypted files need exactly 16 bytes."


@dataclass(frozen=True, slots=True)
class SecretRequested:
    """The peer has sent the whole request and waits for its secret."""


@dataclass(frozen=True, slots=True)
class SecretReceived:
    """The broker's secret has arrived whole."""

    secret: Secret


class Server:
    """The broker's end: `receive` until `SecretRequested`, then `answer` once, then close."""

    __slots__ = ("_answered", "_max_secret_bytes", "_received")

    def __init__(self, *, max_secret_bytes: int = MAX_SECRET_BYTES) -> None:
        self._received = bytearray()
        self._answered = False
        self._max_secret_bytes = min(max_secret_bytes, PROTOCOL_LIMIT)

    def receive(self, data: bytes) -> list[SecretRequested]:
        """Take bytes from the peer. Raises ProvisioningRequestMalformed at the first byte that does not belong."""
        if not data:
            return []
        if len(self._received) + len(data) > len(REQUEST):
            raise ProvisioningRequestMalformed(f"the peer sent more than the {len(REQUEST)} bytes of a request")
        self._received += data
        if not REQUEST.startswith(self._received):
            raise ProvisioningRequestMalformed("the peer's bytes are not a secret-provisioning request")
        return [SecretRequested()] if len(self._received) == len(REQUEST) else []

    def answer(self, secret: Secret, form: SecretFormat = SecretFormat.RAW16) -> bytearray:
        """Return the bytes that hand over `secret` in this form; the caller overwrites them once they are sent.

        Raises SecretSizeRefused for an empty or oversized secret.
        """
        if bytes(self._received) != REQUEST or self._answered:
            raise RuntimeError("answer comes once, after SecretRequested")
        if not 0 < len(secret) <= self._max_secret_bytes:
            raise SecretSizeRefused(f"the secret has {len(secret)} bytes, allowed are 1 to {self._max_secret_bytes}")
        self._answered = True
        in_hex = form is SecretFormat.HEX32Z
        reply = bytearray(RESPONSE + (2 * len(secret) + 1 if in_hex else len(secret)).to_bytes(4, "big"))
        with secret.reveal() as raw:
            reply += hexlify(raw) + b"\0" if in_hex else raw
        return reply


class Client:
    """The enclave's end: send `request`, then `receive` until `SecretReceived`."""

    __slots__ = ("_done", "_max_secret_bytes", "_received")

    def __init__(self, *, max_secret_bytes: int = MAX_SECRET_BYTES) -> None:
        self._received = bytearray()
        self._done = False
        self._max_secret_bytes = max_secret_bytes

    def request(self) -> bytes:
        """Return the 35 bytes that ask for the secret."""
        return REQUEST

    def receive(self, data: bytes) -> list[SecretReceived]:
        """Take bytes from the broker. Raises ProvisioningAnswerMalformed for anything but one answer."""
        if not data:
            return []
        if self._done:
            raise ProvisioningAnswerMalformed(f"the broker sent {len(data)} bytes after the secret")
        self._received += data
        if not self._header_fits():
            raise ProvisioningAnswerMalformed("the broker's bytes are not a secret-provisioning answer")
        if len(self._received) < HEADER_BYTES:
            return []
        total = HEADER_BYTES + self._announced()
        if len(self._received) > total:
            raise ProvisioningAnswerMalformed(f"the broker sent {len(self._received) - total} bytes after the secret")
        return [self._finish()] if len(self._received) == total else []

    def _header_fits(self) -> bool:
        return bytes(self._received[: len(RESPONSE)]) == RESPONSE[: len(self._received)]

    def _announced(self) -> int:
        length = int.from_bytes(self._received[len(RESPONSE) : HEADER_BYTES], "big")
        if not 0 < length <= self._max_secret_bytes:
            raise ProvisioningAnswerMalformed(
                f"the broker announces a secret of {length} bytes, allowed are 1 to {self._max_secret_bytes}"
            )
        return length

    def _finish(self) -> SecretReceived:
        secret = Secret(memoryview(self._received)[HEADER_BYTES:])
        self._received[:] = bytes(len(self._received))
        self._done = True
        return SecretReceived(secret)
