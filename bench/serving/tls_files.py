"""An owner's CA, server and client certificates, as every server and client of the bench takes them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from strongroom.pki import Authority, SslConfig


class Transport(StrEnum):
    """How a request travels."""

    PLAIN = "plaintext"
    TLS = "TLS"
    MTLS = "mTLS"


def write_tls(folder: Path) -> None:
    """Write PEM files, and our server's ssl.cfg for one-way (tls.cfg) and mutual TLS (mtls.cfg)."""
    now = datetime.now(UTC)
    authority = Authority.create("bench", now=now)
    server, client = authority.issue_server(["localhost"], now=now), authority.issue_client("bench.example", now=now)
    configs = {
        f"{name}.cfg": SslConfig(
            server_key=server.key_pem,
            server_cert=server.certificate_pem,
            custom_ca=authority.certificate_pem if mutual else b"",
            client_verify=mutual,
        ).render()
        for name, mutual in (("tls", False), ("mtls", True))
    }
    for name, secret in {"server.key": server.key_pem, "client.key": client.key_pem, **configs}.items():
        path = folder / name
        path.touch(0o600)
        with secret.reveal() as raw:
            path.write_bytes(raw)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "server.pem").write_bytes(server.certificate_pem)
    (folder / "client.pem").write_bytes(client.certificate_pem)


def client_context(folder: Path, transport: Transport, protocol: str) -> ssl.SSLContext | None:
    """Return the client's side: chain and name are checked; `protocol` is what ALPN offers. None for plaintext."""
    if transport is Transport.PLAIN:
        return None
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.set_alpn_protocols([protocol])
    if transport is Transport.MTLS:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context
