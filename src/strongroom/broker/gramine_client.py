"""The replica's end: prove who is running here, and take the one secret that the broker's policy grants.

World: one socket. The key is made for this connection and stays in memory. The broker's certificate chain and name are
checked before our certificate, or anything else of ours, is sent (threat FB-21).
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from cryptography import x509
from cryptography.x509 import verification

from strongroom.broker.tls import MAX_HANDSHAKE_BYTES, TlsFailed, TlsPeer, client_context
from strongroom.errors import BadInput, Refused, Unreachable
from strongroom.gramine import provisioning
from strongroom.pki import ratls
from strongroom.secret import Secret

DEFAULT_TIMEOUT_S: Final = 30.0
_RECORD_OVERHEAD: Final = 1024  # per 16 KiB of secret


class BrokerUnreachable(Unreachable):
    """No broker answers at this address, or not in time."""

    code = "SR-BROKER-UNREACHABLE"
    fix = "Check the address and that strongroom broker serve runs there, then try again."


class BrokerUntrusted(Refused):
    """Whoever answers at the broker's address does not have a certificate for its name from the CA that was given."""

    code = "SR-BROKER-UNTRUSTED"
    fix = "Use a name that is in the broker's certificate, and the CA certificate of the workspace it serves."


class BrokerRefused(Refused):
    """The broker closed the connection without a secret; it tells the reason to its owner alone."""

    code = "SR-BROKER-REFUSED"
    fix = "Ask the owner to look at strongroom ledger show: it has the rule, what was seen, what was wanted, and a fix."


class CertificateAuthorityUnusable(BadInput):
    """The CA certificate that a broker is to be checked against cannot be read."""

    code = "SR-BROKER-CA"
    fix = "Give the workspace's ca_cert.pem."


class BrokerNameInvalid(BadInput):
    """The broker's name is neither an address nor a DNS name that a certificate could hold."""

    code = "SR-BROKER-NAME"
    fix = "Use a DNS name of letters, digits and hyphens (no underscore), as it stands in the broker's certificate."


class Quoting(Protocol):
    """The part of a platform that is needed here."""

    def quote(self, report_data: bytes) -> bytes:
        """Return evidence about this process over 64 bytes of report data."""


def provision(
    host: str, port: int, *, ca_pem: bytes, platform: Quoting, timeout_s: float = DEFAULT_TIMEOUT_S,
    max_secret_bytes: int = provisioning.MAX_SECRET_BYTES,
) -> Secret:  # fmt: skip
    """Return the secret that the broker at `host` releases to this process, over one connection.

    Raises BrokerUnreachable, BrokerUntrusted, BrokerRefused, ProvisioningAnswerMalformed, an error of `broker_check`,
    or what the platform raises.
    """
    check = broker_check(host, ca_pem)
    key = ratls.generate_key()
    now = datetime.now(UTC)
    certificate = ratls.make_certificate(
        key, platform.quote, not_before=now - ratls.SKEW, not_after=now + ratls.DEFAULT_LIFETIME
    )
    tls = TlsPeer(
        client_context(certificate, key, check=check), server=False, name=_server_name(host),
        max_bytes=MAX_HANDSHAKE_BYTES + max_secret_bytes + _RECORD_OVERHEAD * (1 + max_secret_bytes // 16384),
    )  # fmt: skip
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            return _Dialogue(tls, connection, deadline).run(provisioning.Client(max_secret_bytes=max_secret_bytes))
    except TimeoutError:
        raise BrokerUnreachable(f"{host}:{port} did not answer within {timeout_s:g} s") from None
    except OSError as problem:
        reason = (problem.strerror or type(problem).__name__).lower()
        raise BrokerUnreachable(f"{host}:{port}: {reason}") from None


def broker_check(host: str, ca_pem: bytes) -> Callable[[list[x509.Certificate]], None]:
    """Return the check of a server's chain, leaf first, against this CA and name; it raises BrokerUntrusted.

    Raises CertificateAuthorityUnusable or BrokerNameInvalid.
    """
    try:
        store = verification.Store(x509.load_pem_x509_certificates(ca_pem))
    except ValueError:
        raise CertificateAuthorityUnusable("the broker's CA certificate is not PEM") from None
    try:
        subject = _subject(host)
        verification.PolicyBuilder().store(store).build_server_verifier(subject)
    except ValueError:
        raise BrokerNameInvalid(f"{host[:100]!r} is not a name that a certificate could hold") from None

    def check(chain: list[x509.Certificate]) -> None:
        if not chain:
            raise BrokerUntrusted(f"{host} presented no certificate")
        verifier = verification.PolicyBuilder().store(store).time(datetime.now(UTC)).build_server_verifier(subject)
        try:
            verifier.verify(chain[0], chain[1:])
        except verification.VerificationError as problem:
            raise BrokerUntrusted(f"the certificate of {host} is refused: {str(problem)[:200]}") from None

    return check


def _subject(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _server_name(host: str) -> str | None:
    """Return the name to send in the handshake; addresses are not sent (RFC 6066 section 3)."""
    return host if isinstance(_subject(host), x509.DNSName) else None


class _Dialogue:
    """The one connection: handshake, request, answer."""

    def __init__(self, tls: TlsPeer, connection: socket.socket, deadline: float) -> None:
        self._tls = tls
        self._connection = connection
        self._deadline = deadline

    def run(self, protocol: provisioning.Client) -> Secret:
        self._handshake()
        self._tls.write(protocol.request())
        self._flush()
        while True:
            data = self._tls.read()
            if data is None:
                self._receive()
                continue
            if not data:
                raise BrokerRefused("the broker closed the connection without a secret")
            for event in protocol.receive(data):
                return self._leave_with(event.secret)

    def _handshake(self) -> None:
        try:
            while not self._tls.handshake():
                self._flush()
                self._receive()
        except TlsFailed as problem:  # Gramine's own server refuses evidence with an alert
            raise BrokerRefused(f"the broker ended the handshake: {problem.sentence}") from None

    def _leave_with(self, secret: Secret) -> Secret:
        try:
            self._tls.close_notify()
            self._flush()
        except (OSError, TlsFailed):
            pass  # the secret is here; how the broker hangs up does not matter
        return secret

    def _receive(self) -> None:
        self._in_time()
        try:
            data = self._connection.recv(16384)
        except ConnectionError:
            data = b""
        if not data:
            raise BrokerRefused("the broker closed the connection without a secret")
        self._tls.feed(data)

    def _flush(self) -> None:
        data = self._tls.outgoing()
        if data:
            self._in_time()
            try:
                self._connection.sendall(data)
            except ConnectionError:
                raise BrokerRefused("the broker closed the connection without a secret") from None

    def _in_time(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
