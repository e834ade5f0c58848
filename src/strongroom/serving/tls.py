"""One TLS rule for both fronts: the same certificate, the same clients, TLS 1.2 or newer.

World: memory files (`pki.lending`), because `ssl.SSLContext` takes keys from paths only; grpcio takes the PEM bytes.
Source: decision 3, threats SV-01 and SV-15.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from strongroom.errors import Refused
from strongroom.pki import SslConfig, findings, keys
from strongroom.pki.findings import Finding, Pair, TlsSet
from strongroom.pki.lending import as_path
from strongroom.secret import Secret


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


def _no_passphrase() -> str:
    raise TlsUnusable("the server's key is protected by a passphrase")
