"""Connections to one REST port, each judged before a byte of the caller's goes over it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.client import evidence
from strongroom.client.address import Address
from strongroom.client.answers import ModelSpec
from strongroom.client.connection import Connection
from strongroom.client.credentials import Credentials
from strongroom.client.evidence import Evidence, EvidenceNotBound, EvidenceProof
from strongroom.client.proof import ChannelProof
from strongroom.client.trust import Trust

MAX_EVIDENCE_AGE: Final = timedelta(minutes=10)  # a kept connection is asked again after this


class Channel:
    """Opens connections, asks each for evidence where `trust` is given, and closes them."""

    def __init__(self, address: Address, credentials: Credentials, trust: Trust | None, *, timeout_s: float) -> None:
        self.address = address
        self._credentials, self._trust, self.timeout_s = credentials, trust, timeout_s
        self._connection: Connection | None = None
        self._evidence: Evidence | None = None

    def lend(self, spec: ModelSpec) -> Connection:
        """Return a connection whose peer may be asked about this model.

        Raises the errors of `connection` and `evidence`; after one, nothing of the caller's has been sent.
        """
        connection = self._connected()
        if self._trust is not None:
            now = datetime.now(UTC)
            if self._evidence is None or now - self._evidence.verified_at > MAX_EVIDENCE_AGE:
                self.refresh()
            self.evidence_proof(spec)
        return connection

    def refresh(self) -> None:
        """Ask the peer of the present connection for evidence over a new nonce, and verify it."""
        connection = self._connected()
        if self._trust is None:
            return
        if connection.certificate is None:
            raise EvidenceNotBound(f"{self.address} has no TLS key that a quote could bind")
        nonce = os.urandom(evidence.NONCE_BYTES)
        answer = evidence.fetch(connection, nonce)
        self._evidence = evidence.verify_answer(
            answer, spki=connection.certificate.spki, nonce=nonce, trust=self._trust, at=datetime.now(UTC)
        )

    def evidence_proof(self, spec: ModelSpec) -> EvidenceProof | None:
        """Return what the present connection's evidence proves for a model. Raises ServerNotAccepted."""
        if self._trust is None or self._evidence is None:
            return None
        return evidence.accept(self._evidence, trust=self._trust, spec=spec, at=datetime.now(UTC))

    def channel_proof(self) -> ChannelProof:
        """Return what the handshake of the present connection established."""
        connection = self._connected()
        shown = connection.certificate
        return ChannelProof(
            url=str(self.address),
            tls=f"{connection.tls_version}, {connection.cipher}" if shown else "",
            server_name=self._credentials.server_name or self.address.host,
            issuer=shown.issuer if shown else "",
            certificate_sha256=shown.sha256 if shown else "",
            pinned=bool(shown and shown.pinned),
            mutual=bool(shown and self._credentials.certificate),
        )

    def server_pem(self, spec: ModelSpec) -> bytes:
        """Return the certificate (PEM) of a peer that proved itself for a model."""
        certificate = self.lend(spec).certificate
        if certificate is None:
            raise EvidenceNotBound(f"{self.address} has no TLS key that a quote could bind")
        return certificate.pem

    def hang_up(self) -> None:
        """Close the connection and keep what it proved, for a connection that must show the same certificate."""
        if self._connection is not None:
            self._connection.close()

    def close(self) -> None:
        """Close the connection; what it proved is forgotten with it."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._evidence = None

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.is_open:
            self.close()
            self._connection = Connection(self.address, self._credentials, timeout_s=self.timeout_s)
        self._connection.timeout_s = self.timeout_s
        return self._connection
