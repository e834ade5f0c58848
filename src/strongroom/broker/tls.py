"""TLS for key release, as bytes in and bytes out: pyOpenSSL over memory, no sockets.

pyOpenSSL rather than the standard library's `ssl`, because a server has to let self-signed RA-TLS certificates through
the handshake and judge them afterwards. TLS 1.2 is the most spoken by default: mbedTLS 3.6.0 (Gramine 1.8) gives up at
TLS 1.3 session tickets, which OpenSSL sends (threat FB-17). ECDHE and AEAD only; no renegotiation, no tickets, no
compression, no early data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from strongroom.errors import BadInput, Tampered
from strongroom.secret import Secret

MAX_HANDSHAKE_BYTES: Final = 64 * 1024  # a certificate with two quotes is about 11 kB
RECORD_BYTES: Final = 16 * 1024
_PIECE_BYTES: Final = 4096  # what OpenSSL's side is read by: each call takes a buffer of so many
MAX_NAME_CHARS: Final = 255
_CIPHERS_TLS12: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_OPTIONS: Final = (
    SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE
)  # fmt: skip


class TlsFailed(Tampered):
    """A TLS handshake or record did not hold."""

    code = "SR-TLS"
    fix = "Check that the peer speaks TLS 1.2 with ECDHE and AEAD suites, and presents its certificate."


class TlsFloods(Tampered):
    """A peer sent more bytes than a handshake and a request take."""

    code = "SR-TLS-FLOOD"
    fix = "Have the peer present one RA-TLS certificate, and nothing but the request behind it."


class ServerKeyUnusable(BadInput):
    """The broker's own certificate and key cannot be used."""

    code = "SR-BROKER-CERTIFICATE"
    fix = "Give a PEM certificate (chain) and its unencrypted PEM key, or let the workspace make them."


class TlsPeer:
    """One end of a TLS connection without a socket: feed what came, send what `outgoing` gives."""

    __slots__ = ("_budget", "_connection")

    def __init__(self, context: SSL.Context, *, server: bool, max_bytes: int, name: str | None = None) -> None:
        self._connection = SSL.Connection(context, None)
        self._budget = max_bytes
        if name is not None:
            self._connection.set_tlsext_host_name(name.encode("idna"))
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes from the network. Raises TlsFloods when the peer has sent more than it was allowed."""
        self._budget -= len(data)
        if self._budget < 0:
            raise TlsFloods("the peer sent more bytes than one request takes")
        if data:
            self._connection.bio_write(data)

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is complete. Raises TlsFailed."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as problem:
            raise TlsFailed(f"the TLS handshake failed: {_reason(problem)}") from None
        return True

    def read(self) -> bytes | None:
        """Return plaintext that has arrived; None if there is none yet, empty after the peer's close_notify."""
        try:
            return self._connection.recv(_PIECE_BYTES)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as problem:
            raise TlsFailed(f"a TLS record failed: {_reason(problem)}") from None

    def write(self, data: bytes | bytearray) -> None:
        """Encrypt `data`; `outgoing` has the records."""
        view = memoryview(data)
        while view:
            view = view[self._connection.send(view[:RECORD_BYTES]) :]

    def close_notify(self) -> None:
        """Say that nothing more will be sent."""
        self._connection.shutdown()

    def outgoing(self) -> bytes:
        """Return the bytes that have to be sent to the peer now; may be empty."""
        pieces = []
        try:
            while len(piece := self._connection.bio_read(_PIECE_BYTES)) == _PIECE_BYTES:
                pieces.append(piece)
        except SSL.WantReadError:
            return b"".join(pieces)
        return b"".join((*pieces, piece))

    def peer_certificate(self) -> bytes:
        """Return the certificate (DER) that the peer presented, alone. Raises TlsFailed.

        It is the one that the handshake was verified with, so that its key is the live one: the peer signed the
        handshake, these bytes among it, with the private half.
        """
        certificate = self._connection.get_peer_certificate()
        if certificate is None:
            raise TlsFailed("the peer presented no certificate")
        others = [entry for entry in self._connection.get_peer_cert_chain() or [] if entry != certificate]
        if others:
            raise TlsFailed(f"the peer presented {len(others) + 1} certificates, RA-TLS has one")
        return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)

    @property
    def server_name(self) -> str:
        """The name that the client asked for (RFC 6066 section 3), as it stands there; empty without one."""
        name = self._connection.get_servername() or b""
        return name.decode("ascii", "replace")[:MAX_NAME_CHARS]

    @property
    def version(self) -> str:
        """The protocol version in use, such as TLSv1.2."""
        return self._connection.get_protocol_version_name()


def server_context(certificate_pem: bytes, key_pem: Secret, *, tls13: bool = False) -> SSL.Context:
    """Return the context of a broker: ordinary certificate, any client certificate required and judged later.

    `tls13` also speaks TLS 1.3, for clients of Gramine 1.9 and later alone. Raises ServerKeyUnusable.
    """
    context = _context(SSL.TLS_SERVER_METHOD, tls13=tls13)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    try:
        chain = x509.load_pem_x509_certificates(certificate_pem)
        with key_pem.reveal() as raw:
            key = load_pem_private_key(raw, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ServerKeyUnusable("the broker's key is neither EC nor RSA, which Gramine's clients need")
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except (ValueError, TypeError, SSL.Error) as problem:
        reason = _reason(problem) if isinstance(problem, SSL.Error) else "it cannot be read"
        raise ServerKeyUnusable(f"the broker's certificate or key is not usable: {reason}") from None
    return context


def client_context(
    certificate_der: bytes, private_key: ec.EllipticCurvePrivateKey, *, check: Callable[[list[x509.Certificate]], None]
) -> SSL.Context:
    """Return the context of a replica. `check` gets the server's chain, leaf first, before our certificate is sent.

    What `check` raises comes out of `TlsPeer.handshake`.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, tls13=True)
    context.use_certificate(x509.load_der_x509_certificate(certificate_der))
    context.use_privatekey(private_key)

    judged: set[int] = set()

    def judge(connection: SSL.Connection, _: crypto.X509, __: int, depth: int, ___: int) -> bool:
        """Leave the judgement to `check`, once: OpenSSL calls for every certificate, and again for each complaint."""
        if depth == 0 and not judged:
            check([entry.to_cryptography() for entry in connection.get_peer_cert_chain() or []])
            judged.add(depth)
        return True

    context.set_verify(SSL.VERIFY_PEER, judge)
    return context


def _context(method: int, *, tls13: bool) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION if tls13 else SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(_CIPHERS_TLS12)
    return context


def _reason(problem: SSL.Error) -> str:
    """Return OpenSSL's reasons in a few words; they never hold payload."""
    entries = problem.args[0] if problem.args and isinstance(problem.args[0], list) else []
    return "; ".join(str(entry[-1]) for entry in entries)[:200] or type(problem).__name__
