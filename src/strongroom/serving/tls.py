"""One TLS rule for both fronts: the same certificate, the same clients, TLS 1.2 or newer.

World: memory files. `ssl.SSLContext` takes keys from paths only, so certificate and key are lent to it through an
anonymous memory file under /proc/self/fd, or through a pipe where the kernel has no memory files; where neither can be
opened by path, the server does not start. grpcio takes the PEM bytes. Source: decision 3, threats SV-01 and SV-15.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID

from strongroom.errors import Refused, Unreachable
from strongroom.pki import BadCertificate, SslConfig, findings, keys
from strongroom.pki.findings import Finding, Pair, TlsSet
from strongroom.secret import Secret


class NoMemoryFile(Unreachable):
    """The operating system offers no way to hand a key to OpenSSL without writing it to a disk."""

    code = "SR-SERVE-NO-MEMORY-FILE"
    fix = "Run on Linux with /proc mounted; memory files (memfd_create) or pipes must open under /proc/self/fd."


class TlsUnusable(Refused):
    """OpenSSL does not take the certificate, the key or the CA of ssl.cfg."""

    code = "SR-SERVE-TLS"
    fix = "Make a new set with strongroom certs two-way (or one-way)."


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The TLS identity of this server. Raises TlsUnusable, NoMemoryFile or PublishedKey where it cannot be used."""

    config: SslConfig

    @property
    def mutual(self) -> bool:
        """Whether every client has to show a certificate."""
        return self.config.client_verify

    @property
    def spki(self) -> bytes:
        """The public key of the server's certificate, DER: what evidence binds."""
        return keys.spki(keys.public_key(keys.load_certificates(self.config.server_cert)[0]))

    def context(self, protocols: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
        """Return the context of a listener that offers these protocols (ALPN)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 takes a cut connection for its end
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_alpn_protocols(list(protocols))
        try:
            with as_path(Secret(self.config.server_cert)) as chain, as_path(self.config.server_key) as key:
                context.load_cert_chain(chain, key, password=_no_passphrase)
            if self.mutual:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(cadata=self.config.custom_ca.decode("ascii"))
        except (OSError, ValueError) as problem:  # SSLError is an OSError
            reason = getattr(problem, "reason", None) or type(problem).__name__
            raise TlsUnusable(f"OpenSSL refuses ssl.cfg: {reason}") from None
        return context

    def grpc_credentials(self) -> Any:  # noqa: ANN401  # grpc has no types
        """Return the credentials of the gRPC front."""
        import grpc

        with self.config.server_key.reveal() as key:
            return grpc.ssl_server_credentials(
                [(key, self.config.server_cert)],
                root_certificates=self.config.custom_ca if self.mutual else None,
                require_client_auth=self.mutual,
            )

    def check(self, *, now: datetime) -> list[Finding]:
        """Return what is weak about the set; raise PublishedKey where anybody could pose as this server."""
        leaf = keys.load_certificates(self.config.server_cert)[0]
        roots = keys.load_certificates(self.config.custom_ca) if self.config.custom_ca else []
        for certificate in (leaf, *roots):
            keys.check_not_published(keys.public_key(certificate))
        found = TlsSet(
            ca=roots[0] if roots else None,
            ca_key_there=False,
            server=Pair(where="server_cert", certificate=leaf, key=None),
            client=None,
            config=self.config,
            config_sealed=False,
            loose_files=(),
        )
        return findings.judge(found, now=now)


@contextlib.contextmanager
def as_path(secret: Secret) -> Iterator[str]:
    """Lend `secret` as a path that can be opened and read once. Raises NoMemoryFile."""
    for lend in (_memory_file, _pipe):
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(lend(secret))
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))  # it can be opened by name
            except (OSError, AttributeError):
                continue
            yield path
            return
    raise NoMemoryFile("neither a memory file nor a pipe can be opened by path")


@contextlib.contextmanager
def _memory_file(secret: Secret) -> Iterator[str]:
    descriptor = os.memfd_create("strongroom", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file, secret.reveal() as raw:
        file.write(raw)
        file.flush()
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            file.seek(0)
            file.write(bytes(len(raw)))


@contextlib.contextmanager
def _pipe(secret: Secret) -> Iterator[str]:
    reader, writer = os.pipe()
    try:
        try:
            os.set_blocking(writer, False)  # what does not fit into the pipe is an error, not a wait without end
            with secret.reveal() as raw:
                if os.write(writer, raw) != len(raw):
                    raise BlockingIOError
        finally:
            os.close(writer)
        yield f"/proc/self/fd/{reader}"
    finally:
        os.close(reader)


def client_check() -> Callable[[bytes], bool]:
    """Return a function that says whether a certificate (PEM or DER) may be a client's; it remembers answers.

    Both TLS libraries refuse a certificate that is for servers only, but take one without any usage (X.509 v1 ones have
    none): here the usage clientAuth has to be there.
    """
    known: dict[bytes, bool] = {}

    def check(certificate: bytes) -> bool:
        answer = known.get(certificate)
        if answer is None:
            if len(known) >= 1024:
                known.clear()
            answer = known[certificate] = _is_client_certificate(certificate)
        return answer

    return check


def _is_client_certificate(data: bytes) -> bool:
    from cryptography import x509

    try:
        certificate = keys.load_certificates(data)[0] if data.startswith(b"-----") else keys.load_certificate_der(data)
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (BadCertificate, x509.ExtensionNotFound):
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages


def _no_passphrase() -> str:
    raise TlsUnusable("the server's key is protected by a passphrase")
