"""Talk to a server that proves itself by its RA-TLS certificate alone, as Gramine's do, and prove ourselves if asked.

World: one TCP connection. No authority vouches for such a server: its certificate is judged here, with the key of the
live handshake, before the first byte of data is sent. The evidence then goes to whoever verifies quotes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self, TypeVar

from OpenSSL import SSL

from strongroom.client.connection import ServerUnreachable
from strongroom.errors import Tampered
from strongroom.pki import ratls
from strongroom.pki.attested_tls import attested_context, peer_evidence
from strongroom.pki.ratls import PrivateKey, RaTlsEvidence

TIMEOUT_S: Final = 10.0
MAX_HANDSHAKE_BYTES: Final = 128 * 1024  # a certificate with two quotes is about 11 kB
_RECORD_BYTES: Final = 16 * 1024
_T = TypeVar("_T")


class AttestedChannelFailed(Tampered):
    """The TLS connection to an RA-TLS server did not hold, or the server wants a proof from this client."""

    code = "SR-RATLS-CHANNEL"
    fix = "Check host and port; a server that wants to know its clients needs an RA-TLS certificate of ours."


class AttestedConnection:
    """A connection whose peer has shown `evidence` bound to this very handshake; the quote is still to be verified.

    `identity`: our own RA-TLS certificate (DER) and its key, for servers that ask; the other options are those of
    `ratls.open_certificate`. Raises ServerUnreachable, AttestedChannelFailed, PeerUnproven, or the error of the RA-TLS
    rule that the certificate breaks.
    """

    def __init__(
        self, host: str, port: int, *, identity: tuple[bytes, PrivateKey] | None = None,
        allow_rsa: bool | None = None, nonce: bytes | None = None, skew: timedelta = ratls.SKEW,
        timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        certificate, key = identity or (None, None)
        self._tls = SSL.Connection(attested_context(server=False, certificate=certificate, private_key=key), None)
        self._tls.set_connect_state()
        self._where, self._timeout_s = f"{host}:{port}", timeout_s
        self._budget: int | None = MAX_HANDSHAKE_BYTES
        try:
            self._socket = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as problem:
            raise ServerUnreachable(f"{self._where}: {problem.strerror or type(problem).__name__}") from None
        try:
            self._run(self._tls.do_handshake)
            self.evidence: RaTlsEvidence = peer_evidence(
                self._tls, at=datetime.now(UTC), allow_rsa=allow_rsa, nonce=nonce, skew=skew
            )
        except BaseException:
            self.close()
            raise
        self._budget = None  # only a peer that has shown evidence may go on at length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises ServerUnreachable or AttestedChannelFailed."""
        view = memoryview(data)
        while view:
            record = bytes(view[:_RECORD_BYTES])
            view = view[self._run(lambda record=record: self._tls.send(record)) :]  # type: ignore[misc]  # mypy: lambda

    def receive(self) -> bytes:
        """Return what has come, at most 16 KiB; empty once the server has said goodbye.

        Raises ServerUnreachable or AttestedChannelFailed; an end without goodbye is one of them, never empty.
        """
        try:
            return self._run(lambda: self._tls.recv(_RECORD_BYTES))
        except SSL.ZeroReturnError:
            return b""

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._socket.close()

    def _run(self, step: Callable[[], _T]) -> _T:
        """Repeat a TLS step with what comes from the network until it is done, within one deadline."""
        deadline = time.monotonic() + self._timeout_s
        try:
            while True:
                try:
                    outcome = step()
                except SSL.WantReadError:
                    self._flush(deadline)
                    self._fill(deadline)
                else:
                    self._flush(deadline)
                    return outcome
        except SSL.ZeroReturnError:
            raise
        except SSL.Error as problem:
            raise AttestedChannelFailed(f"TLS with {self._where} failed: {_reason(problem)}") from None
        except OSError as problem:
            raise ServerUnreachable(f"{self._where}: {problem.strerror or type(problem).__name__}") from None

    def _flush(self, deadline: float) -> None:
        while True:
            try:
                records = self._tls.bio_read(2 * _RECORD_BYTES)
            except SSL.WantReadError:
                return
            self._in_time(deadline)
            self._socket.sendall(records)

    def _fill(self, deadline: float) -> None:
        self._in_time(deadline)
        data = self._socket.recv(_RECORD_BYTES)
        if not data:
            raise ServerUnreachable(f"{self._where} closed the connection")
        if self._budget is not None:
            self._budget -= len(data)
            if self._budget < 0:
                raise AttestedChannelFailed(f"{self._where} sent more than a handshake takes")
        self._tls.bio_write(data)

    def _in_time(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ServerUnreachable(f"{self._where} did not answer within {self._timeout_s:g} s")
        self._socket.settimeout(left)


def _reason(problem: SSL.Error) -> str:
    entries = problem.args[0] if problem.args and isinstance(problem.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries)[:200] or type(problem).__name__
