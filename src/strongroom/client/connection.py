"""One TLS connection to a REST port, kept for many requests; it never reconnects on its own.

A new connection is a new peer: whoever holds one knows that every byte goes to the process whose evidence was
checked. Each exchange has one deadline, so a server that trickles bytes cannot hold the client.
"""

from __future__ import annotations

import http.client
import io
import select
import socket
import ssl
import time
from typing import Any, Final, cast

from strongroom.client.address import Address, Protocol
from strongroom.client.credentials import Credentials, ServerCertificate
from strongroom.client.status import BadAnswer, ServerBusy
from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

MAX_ANSWER_BYTES: Final = 1 << 30
PROBE_TIMEOUT_S: Final = 1.0
_CHUNK: Final = 1 << 16


class ServerUnreachable(Unreachable):
    """No connection to the server could be made, or it broke."""

    code = "SR-SERVER-UNREACHABLE"
    fix = "Check the address and that the server runs, then try again."


class ServerNotTrusted(Refused):
    """The server's certificate is not one the client believes, or the server does not speak TLS."""

    code = "SR-SERVER-NOT-TRUSTED"
    fix = "Check the address and --ca; do not send anything to this server before its certificate verifies."


class ClientNotAccepted(BadInput):
    """The server wants a client certificate and did not accept what it got."""

    code = "SR-CLIENT-NOT-ACCEPTED"
    fix = "Give --crt and --key from the CA that the server trusts, and the REST port (8501), not the gRPC port (8500)."


class Connection:
    """A connected socket to `address` and the HTTP/1.1 on it.

    Raises ServerUnreachable, ServerNotTrusted or ClientNotAccepted. `certificate` is None without TLS.
    """

    def __init__(self, address: Address, credentials: Credentials, *, timeout_s: float) -> None:
        self.address = address
        self._credentials, self.timeout_s = credentials, timeout_s  # of each exchange; whoever holds it may change it
        self._used = False
        self._socket = _connect(address, credentials, timeout_s)
        self.certificate: ServerCertificate | None = None
        self.tls_version = self.cipher = ""
        if isinstance(self._socket, ssl.SSLSocket):
            self._note_peer(self._socket, credentials)
        self._timed = _TimedSocket(self._socket)
        self._http = http.client.HTTPConnection(address.host, address.port)
        self._http.auto_open = 0
        self._http.sock = cast("socket.socket", self._timed)

    def _note_peer(self, tls: ssl.SSLSocket, credentials: Credentials) -> None:
        der, cipher = tls.getpeercert(binary_form=True), tls.cipher()
        try:
            self.certificate = ServerCertificate.of(der or b"", credentials)
        except ValueError:
            tls.close()
            raise ServerNotTrusted(f"the certificate of {self.address} cannot be parsed") from None
        self.tls_version, self.cipher = tls.version() or "", cipher[0] if cipher else ""

    @property
    def is_open(self) -> bool:
        """Whether the next request can still go over the same socket: neither side has closed it."""
        if self._http.sock is None:
            return False
        # Between exchanges a server has nothing to say but goodbye. (Before the first, TLS tickets may lie there.)
        return not self._used or not select.select([self._socket], [], [], 0)[0]

    def exchange(
        self, method: str, target: str, body: bytes | None = None, *, limit: int = MAX_ANSWER_BYTES
    ) -> tuple[int, bytes]:
        """Send one request, return HTTP status and body.

        Raises ServerUnreachable, ServerBusy at the deadline, ClientNotAccepted, or BadAnswer for what is not HTTP or
        is longer than `limit` bytes; the connection is closed after any of them.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._timed.deadline = time.monotonic() + self.timeout_s
        first, self._used = not self._used, True
        try:
            self._http.request(method, target, body=body, headers=headers)
            response = self._http.getresponse()
            answer = _bounded_body(response, limit)
        except BadAnswer:
            self.close()
            raise
        except (http.client.HTTPException, OSError) as problem:
            self.close()
            error = _broken(problem, self.address, self.timeout_s)
            if first and isinstance(error, ServerUnreachable):
                error = why_closed(self.address, self._credentials, timeout_s=self.timeout_s) or error
            raise error from None
        return response.status, answer

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        self._http.close()
        self._socket.close()


def why_closed(address: Address, credentials: Credentials, *, timeout_s: float) -> StrongroomError | None:
    """Connect once more, send nothing, and return why the server ends the connection; None if it does not.

    In TLS 1.3 a server judges the client's certificate after the client believes the handshake done. Its verdict may
    be lost when the client has already sent a request, so ask again and only listen.
    """
    if not address.secure:
        return None
    try:
        with _connect(address, credentials, timeout_s) as listening:
            listening.settimeout(min(PROBE_TIMEOUT_S, timeout_s))
            if listening.recv(1):
                return None
    except TimeoutError:
        return None
    except StrongroomError as error:
        return error
    except OSError as problem:
        meaning = _broken(problem, address, timeout_s)
        if not isinstance(meaning, ServerUnreachable):
            return meaning
    return ClientNotAccepted(
        f"{address} ends each connection right after the handshake, as servers do that refuse a client's certificate"
    )


def _connect(address: Address, credentials: Credentials, timeout_s: float) -> socket.socket:
    context = credentials.context() if address.secure else None
    if context is not None and address.protocol is Protocol.GRPC:
        context.set_alpn_protocols(["h2"])  # gRPC servers end a connection that does not offer it
    try:
        plain = socket.create_connection((address.host, address.port), timeout=timeout_s)
    except TimeoutError:
        raise ServerUnreachable(f"{address} does not answer within {timeout_s:g} s") from None
    except OSError as problem:
        raise ServerUnreachable(f"{address}: {(problem.strerror or str(problem)).lower()}") from None
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=credentials.server_name or address.host)
    except (OSError, ValueError) as problem:
        plain.close()
        raise _broken(problem, address, timeout_s) from None


def _bounded_body(response: http.client.HTTPResponse, limit: int) -> bytes:
    parts, size = [], 0
    while part := response.read(_CHUNK):
        size += len(part)
        if size > limit:
            raise BadAnswer(f"the server's answer is longer than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _broken(problem: Exception, address: Address, timeout_s: float) -> StrongroomError:
    """Return what a failed handshake or exchange means for the caller."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        return ServerNotTrusted(f"the certificate of {address} does not verify: {problem.verify_message}")
    if isinstance(problem, ssl.SSLError) and "ALERT" in (problem.reason or ""):
        return ClientNotAccepted(f"{address} ended the handshake: {(problem.reason or '').replace('_', ' ').lower()}")
    if isinstance(problem, ssl.SSLError) and problem.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
        return ServerNotTrusted(f"{address} does not speak TLS")
    if isinstance(problem, TimeoutError):
        return ServerBusy(f"{address} did not answer within {timeout_s:g} s")
    if isinstance(problem, http.client.RemoteDisconnected | http.client.NotConnected | OSError):
        return ServerUnreachable(f"{address} closed the connection: {str(problem) or type(problem).__name__}")
    return BadAnswer(f"{address} does not answer in HTTP: {type(problem).__name__}")


class _TimedSocket:
    """What `http.client` needs of a socket, with every operation under one deadline."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self.deadline = 0.0

    def arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        self._wrapped.settimeout(left)

    def sendall(self, data: bytes) -> None:
        self.arm()
        self._wrapped.sendall(data)

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self, self._wrapped), _CHUNK)

    def close(self) -> None:
        """Leave the socket open: `http.client` says this while an answer is still to be read."""


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket, wrapped: socket.socket) -> None:
        self._timed, self._wrapped = timed, wrapped

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # typeshed's WriteableBuffer has no runtime name
        self._timed.arm()
        return self._wrapped.recv_into(buffer)
