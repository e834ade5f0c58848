"""TLS contexts for ends that prove themselves by RA-TLS certificates, and the evidence of whoever is at the other end.

Memory only, no sockets: pyOpenSSL contexts in, evidence out. Either end may be the one that verifies, or both. The
handshake lets any certificate through; `peer_evidence` is where it is judged, and must be called before the first byte
of data goes out or is believed. It compares the key that OpenSSL made the handshake with, not the certificate's word.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from strongroom.errors import Tampered
from strongroom.pki import ratls
from strongroom.pki.ratls import PrivateKey, RaTlsEvidence

_CIPHERS_TLS12: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION


class PeerUnproven(Tampered):
    """The other end of a connection presented no RA-TLS certificate, or more than one, or none that was needed."""

    code = "SR-RATLS-PEER"
    fix = "Have the peer present exactly one certificate, made by an RA-TLS library, and finish the handshake."


def attested_context(
    *, server: bool, certificate: bytes | None = None, private_key: PrivateKey | None = None, tls13: bool = True
) -> SSL.Context:
    """Return a context that asks the peer for a certificate and lets any through; it has to be judged afterwards.

    `certificate` (DER, RA-TLS) and `private_key`: our own proof; a client may have none. `tls13`: off for peers with
    mbedTLS 3.6.0 (Gramine 1.8), which give up at session tickets.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION if tls13 else SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # each connection is judged on evidence of its own
    context.set_cipher_list(_CIPHERS_TLS12)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    if certificate is not None and private_key is not None:
        context.use_certificate(x509.load_der_x509_certificate(certificate))
        context.use_privatekey(private_key)
        context.check_privatekey()
    return context


def peer_evidence(
    connection: SSL.Connection, *, at: datetime, allow_rsa: bool | None = None, nonce: bytes | None = None,
    skew: timedelta = ratls.SKEW,
) -> RaTlsEvidence:  # fmt: skip
    """Return the evidence of the peer of a finished handshake, bound to the key that it proved possession of.

    The quote is still to be verified. Raises PeerUnproven, or the error of the rule that `ratls.open_certificate`
    found broken.
    """
    certificate, live_key = peer_identity(connection)
    return ratls.open_certificate(
        certificate, at=at, live_key=live_key, allow_rsa=allow_rsa, nonce=nonce, skew=skew
    )  # fmt: skip


def peer_identity(connection: SSL.Connection) -> tuple[bytes, bytes]:
    """Return the peer's one certificate (DER), and the SubjectPublicKeyInfo of the key that OpenSSL verified with."""
    if connection.get_finished() is None or connection.get_peer_finished() is None:
        raise PeerUnproven("the handshake is not finished, so the peer has not proved that it holds its key")
    presented = connection.get_peer_certificate()
    if presented is None:
        raise PeerUnproven("the peer presented no certificate")
    certificate = crypto.dump_certificate(crypto.FILETYPE_ASN1, presented)
    chain = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in connection.get_peer_cert_chain() or []]
    if any(each != certificate for each in chain) or len(chain) > 1:
        raise PeerUnproven(f"the peer presented {max(len(chain), 2)} certificates, RA-TLS has one")
    return certificate, crypto.dump_publickey(crypto.FILETYPE_ASN1, presented.get_pubkey())
