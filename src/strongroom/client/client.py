"""The client a program uses: one server, one model API, whichever of the two protocols carries it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from strongroom.client.address import Address, Protocol, parse_address
from strongroom.client.answers import Array, Metadata, ModelSpec, Prediction, Transport, UnclearRequest, VersionStatus
from strongroom.client.channel import Channel
from strongroom.client.credentials import Credentials
from strongroom.client.grpc_transport import GrpcTransport, channel_proof
from strongroom.client.proof import Proof
from strongroom.client.rest import RestTransport
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
    insecure: allow plaintext addresses.   timeout_s: for each exchange, in seconds.

    Raises BadUrl, PlaintextRefused, BadCredentials, BadTrustFolder; connects at the first request.
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
    ) -> None:
        self.address = parse_address(url, insecure=insecure)
        self._credentials = Credentials(
            ca=_path(ca), certificate=_path(certificate), key=_path(key), pin=_path(pin), server_name=server_name
        )
        self._credentials.check()
        self._trust = trust if isinstance(trust, Trust | None) else Trust.from_folder(Path(trust))
        if self._trust and not self.address.secure:
            raise UnclearRequest("evidence binds a TLS key, and a plaintext channel has none")
        where = _evidence_address(self.address, evidence_url)
        self._channel = Channel(where, self._credentials, self._trust, timeout_s=timeout_s)
        self._transport = self._make_transport(timeout_s)

    def _make_transport(self, timeout_s: float) -> Transport:
        if self.address.protocol is Protocol.REST:
            return RestTransport(self._channel.lend)
        attested = self._channel.server_pem if self._trust else None
        return GrpcTransport(self.address, self._credentials, attested, timeout_s=timeout_s)

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
        """Ask the present connection for evidence over a fresh nonce and return what it proves for a model.

        Raises UnclearRequest without `trust`, and the errors of `evidence` when it does not hold.
        """
        if self._trust is None:
            raise UnclearRequest("evidence is judged by rules: make the client with trust=FOLDER")
        self._channel.refresh()
        return self.proof(model, version=version, label=label)

    def proof(self, model: str, *, version: int | None = None, label: str | None = None) -> Proof:
        """Return what is proved about who answers for a model, connecting where needed."""
        spec = ModelSpec(model, version, label)
        if self.address.protocol is Protocol.GRPC and self._trust is None:
            return Proof(channel=channel_proof(self.address, self._credentials), evidence=None)
        self._channel.lend(spec)
        carried = ""
        if self.address.protocol is Protocol.GRPC:
            carried = f"requests go by gRPC to {self.address}, which must show the very certificate that was proved"
        return Proof(
            channel=self._channel.channel_proof(), evidence=self._channel.evidence_proof(spec), carried_by=carried
        )

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._transport.close()
        self._channel.close()

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
