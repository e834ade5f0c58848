"""One gRPC connection: opened when first used, to a server that has proved itself where that is asked for.

gRPC shows no certificate to its caller, so an attested link narrows its trust to the one certificate whose key was
quoted on an evidence connection made for this link: whatever replica answers must hold that key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from strongroom.client.address import Address
from strongroom.client.answers import ModelSpec
from strongroom.client.channel import Channel
from strongroom.client.connection import MAX_ANSWER_BYTES, ServerUnreachable
from strongroom.client.credentials import Credentials, read_certificates
from strongroom.client.evidence import EvidenceProof
from strongroom.client.proof import ChannelProof
from strongroom.client.retries import Fate, NotAnswered
from strongroom.errors import Unreachable

_READY: Final = 2  # grpc_connectivity_state


class GrpcLink:
    """One channel of grpcio's and what was proved when it was opened; for many threads.

    prover: gives connections to the REST port that speaks for this server; None where no evidence is asked for.
    """

    def __init__(self, address: Address, credentials: Credentials, prover: Callable[[], Channel] | None) -> None:
        self._address, self._credentials = address, credentials
        self._prover = prover() if prover else None
        self._lock = threading.Lock()
        self._channel: Any = None  # grpc has no types
        self._proof: ChannelProof | None = None
        self._was_ready = self._closed = False

    def channel(self, spec: ModelSpec, timeout_s: float) -> Any:  # noqa: ANN401  # grpc has no types
        """Return the channel; its server has proved itself for this model.

        Raises NotAnswered where it could not be asked, and the errors of `evidence` and `connection`.
        """
        with self._lock:
            try:
                self._open(spec, timeout_s)
            except Unreachable as problem:
                kept = problem
                raise NotAnswered(Fate.NOT_BEGUN, lambda: kept) from None
            if self._closed:
                raise self.was_closed()
        if self._prover:
            self._prover.evidence_proof(spec)
        return self._channel

    def proof(self, spec: ModelSpec, timeout_s: float) -> tuple[ChannelProof, EvidenceProof | None]:
        """Return what is proved, opening the link where needed. Raises what `channel` raises."""
        self.channel(spec, timeout_s)
        return self._proof or channel_proof(self._address, self._credentials), (
            self._prover.evidence_proof(spec) if self._prover else None
        )

    def used(self) -> None:
        """Note that a call was answered: there is a connection."""
        self._was_ready = True

    @property
    def stale(self) -> bool:
        """Whether an attested connection has ended: gRPC would make another one that nobody has judged."""
        if self._prover is None or not self._was_ready or self._channel is None:
            return False
        inner = self._channel._channel  # noqa: SLF001  # grpcio tells the state to nobody else without a thread
        return bool(inner.check_connectivity_state(False) != _READY)

    def was_closed(self) -> ServerUnreachable:
        """Return what to tell who asks on a closed link."""
        return ServerUnreachable(f"the connection to {self._address} was closed by this program")

    def close(self) -> None:
        """Close the channel; calls on it end."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                self._channel.close()
            if self._prover is not None:
                self._prover.close()

    def _open(self, spec: ModelSpec, timeout_s: float) -> None:
        import grpc

        if self._channel is not None or self._closed:
            return
        pem = None
        if self._prover:
            self._prover.timeout_s = timeout_s
            pem = self._prover.server_pem(spec)
            self._proof = self._prover.channel_proof()
            self._prover.hang_up()
        options, authority = channel_options(self._credentials), self._address.authority
        if self._address.secure:
            trusted = self._credentials.channel_credentials(attested_pem=pem)
            self._channel = grpc.secure_channel(authority, trusted, options=options)
        else:
            self._channel = grpc.insecure_channel(authority, options=options)


def channel_options(credentials: Credentials) -> list[tuple[str, int | str]]:
    """Return gRPC's channel arguments: message sizes bounded by us, the server's name where it is not the host."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # channels share no connection
        ("grpc.initial_reconnect_backoff_ms", 100),  # a balancer has another replica at once
        ("grpc.max_reconnect_backoff_ms", 5000),
    ]
    if credentials.server_name:
        options.append(("grpc.ssl_target_name_override", credentials.server_name))
    return options


def channel_proof(address: Address, credentials: Credentials) -> ChannelProof:
    """Return what gRPC enforces by itself; it tells neither version nor certificate."""
    roots = read_certificates(credentials.ca or credentials.pin)
    return ChannelProof(
        url=str(address),
        tls="TLS" if address.secure else "",
        server_name=credentials.server_name or address.host,
        issuer=roots[0].subject.rfc4514_string() if roots else "a CA of this system",
        certificate_sha256="",
        pinned=bool(credentials.pin),
        mutual=address.secure and bool(credentials.certificate),
    )
