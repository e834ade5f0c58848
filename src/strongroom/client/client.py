"""The client a program uses: one server, one model API, whichever of the two protocols carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from strongroom.client.address import Address, Protocol, parse_address
from strongroom.client.answers import Array, Metadata, ModelSpec, Prediction, Transport, UnclearRequest, VersionStatus
from strongroom.client.channel import MAX_EVIDENCE_AGE, Channel
from strongroom.client.credentials import Credentials
from strongroom.client.grpc_link import GrpcLink
from strongroom.client.grpc_transport import GrpcTransport
from strongroom.client.pool import MAX_AGE_S, Pool, Size
from strongroom.client.proof import Proof
from strongroom.client.rest import RestTransport
from strongroom.client.retries import Retrier, Retries
from strongroom.client.trust import Trust

StrPath = str | Path


class Client:
    """Ask models behind `url`: https://HOST:8501 is REST, grpcs://HOST:8500 is gRPC.

    ca: file of the CA that issues server certificates (default: the operating system's); or
    pin: file of the one server certificate to believe.
    certificate, key: files that the client shows of itself (mutual TLS).
    server_name: the name the server's certificate carries, where it is not the host of `url`.
    trust: a folder (see `trust`); with it, the server proves what program it is before anything else is sent.
    evidence_url: the REST address that gives a gRPC server's evidence (default: port 8501 of the same host).
    insecure: allow plaintext addresses.   timeout_s: for each request with its repetitions, in seconds.
    connections: how many to spread requests over; each proves itself where `trust` is given.
    max_age_s: a connection is replaced after so many seconds, so that new replicas get requests.
    retries: a number repeats requests so often that were not answered; unless it is given, only those are repeated
    that no server began; 0 repeats nothing (see `retries.Retries`).

    Threads may share a client. Raises BadUrl, PlaintextRefused, BadCredentials, BadTrustFolder, BadConnections,
    BadRetries; connects at the first request.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: StrPath | None = None,
        certificate: StrPath | None = None,
        key: StrPath | None = None,
        pin: StrPath | None = None,
        server_name: str | None = None,
        trust: Trust | StrPath | None = None,
        evidence_url: str | None = None,
        insecure: bool = False,
        timeout_s: float = 30.0,
        connections: int = 1,
        max_age_s: float = MAX_AGE_S,
        retries: Retries | int | None = None,
    ) -> None:
        self.address = parse_address(url, insecure=insecure)
        self._credentials = Credentials(
            ca=_path(ca), certificate=_path(certificate), key=_path(key), pin=_path(pin), server_name=server_name
        )
        self._credentials.check()
        self._trust = trust if isinstance(trust, Trust | None) else Trust.from_folder(Path(trust))
        if self._trust and not self.address.secure:
            raise UnclearRequest("evidence binds a TLS key, and a plaintext channel has none")
        if self._trust:
            max_age_s = min(max_age_s, MAX_EVIDENCE_AGE.total_seconds())
        where = _evidence_address(self.address, evidence_url)
        self._transport = self._make_transport(
            lambda: Channel(where, self._credentials, self._trust, timeout_s=timeout_s),
            Size(count=connections, max_age_s=max_age_s),
            Retrier(Retries.of(retries)),
            timeout_s,
        )

    def _make_transport(
        self, open_rest: Callable[[], Channel], size: Size, retrier: Retrier, timeout_s: float
    ) -> Transport:
        if self.address.protocol is Protocol.REST:
            return RestTransport(Pool(open_rest, size, exclusive=True), retrier, timeout_s=timeout_s)
        prover = open_rest if self._trust else None
        links = Pool(lambda: GrpcLink(self.address, self._credentials, prover), size)
        return GrpcTransport(self.address, self._credentials, links, retrier, timeout_s=timeout_s)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: int | None = None,
        label: str | None = None,
        signature_name: str = "",
    ) -> Prediction:
        """Return the outputs of one request by name, as arrays.

        With `trust`, the evidence is verified and accepted for this model before the inputs leave this process.
        """
        return self._transport.predict(ModelSpec(model, version, label), inputs, signature_name)

    def status(self, model: str, *, version: int | None = None, label: str | None = None) -> tuple[VersionStatus, ...]:
        """Return the versions of a model and their states."""
        return self._transport.status(ModelSpec(model, version, label))

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Metadata:
        """Return the signatures of a model version."""
        return self._transport.metadata(ModelSpec(model, version, label))

    def evidence(self, model: str, *, version: int | None = None, label: str | None = None) -> Proof:
        """Ask for evidence over a fresh nonce and return what it proves for a model.

        Raises UnclearRequest without `trust`, and the errors of `evidence` when it does not hold.
        """
        if self._trust is None:
            raise UnclearRequest("evidence is judged by rules: make the client with trust=FOLDER")
        return self._transport.proof(ModelSpec(model, version, label), fresh=True)

    def proof(self, model: str, *, version: int | None = None, label: str | None = None) -> Proof:
        """Return what is proved about who answers for a model, connecting where needed."""
        return self._transport.proof(ModelSpec(model, version, label))

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path(path: StrPath | None) -> Path | None:
    return None if path is None else Path(path)


def _evidence_address(address: Address, evidence_url: str | None) -> Address:
    """Return the REST address that speaks for a server: evidence never comes over plaintext."""
    if address.protocol is Protocol.REST:
        if evidence_url is not None:
            raise UnclearRequest("a REST server gives its evidence itself: evidence_url is for gRPC addresses")
        return address
    where = parse_address(evidence_url) if evidence_url else Address(Protocol.REST, address.secure, address.host, 8501)
    if where.protocol is not Protocol.REST:
        raise UnclearRequest("evidence is given over REST: evidence_url begins with https://")
    return where
