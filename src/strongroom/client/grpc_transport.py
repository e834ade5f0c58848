"""TensorFlow Serving's gRPC interface from the caller's side.

gRPC shows no certificate to its caller, so an attested channel narrows its trust to the one certificate whose key was
quoted on the evidence connection: whatever replica answers must hold that key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from strongroom.client.address import Address
from strongroom.client.answers import (
    Array,
    Metadata,
    ModelSpec,
    Prediction,
    Signature,
    TensorInfo,
    UnclearRequest,
    VersionStatus,
)
from strongroom.client.connection import MAX_ANSWER_BYTES, why_closed
from strongroom.client.credentials import Credentials, read_certificates
from strongroom.client.proof import ChannelProof
from strongroom.client.status import BadAnswer, error_of_status
from strongroom.errors import StrongroomError
from strongroom.tfserving import messages
from strongroom.tfserving.tensors import array_to_tensor, tensor_to_array

PREDICT: Final = messages.PREDICT
_UNREACHED: Final = "UNAVAILABLE"


class GrpcTransport:
    """Speaks gRPC; `attested` gives the certificate (PEM) of a server that proved itself for a model."""

    def __init__(
        self,
        address: Address,
        credentials: Credentials,
        attested: Callable[[ModelSpec], bytes] | None,
        *,
        timeout_s: float,
    ) -> None:
        self._address, self._credentials, self._attested = address, credentials, attested
        self._timeout_s = timeout_s
        self._channel: Any = None
        self._pem: bytes | None = None

    def predict(self, spec: ModelSpec, inputs: Mapping[str, Array], signature_name: str) -> Prediction:
        """Send one PredictRequest."""
        request = predict_request(
            spec.name, inputs, signature_name=signature_name, version=spec.version, label=spec.label
        )
        response = _parse(messages.PredictResponse, self._call(spec, PREDICT, request))
        version = response.model_spec.version.value if response.model_spec.HasField("version") else None
        return Prediction(_outputs_of(response), version=version)

    def status(self, spec: ModelSpec) -> tuple[VersionStatus, ...]:
        """Return the versions of a model, in the server's order."""
        request = messages.GetModelStatusRequest(model_spec=_model_spec(spec, ""))
        answer = self._call(spec, messages.GET_MODEL_STATUS, request.SerializeToString())
        listed = _parse(messages.GetModelStatusResponse, answer).model_version_status
        return tuple(
            VersionStatus(
                each.version,
                _enum_name(each, "state"),
                _enum_name(each.status, "error_code"),
                each.status.error_message,
            )
            for each in listed
        )

    def metadata(self, spec: ModelSpec) -> Metadata:
        """Return the signatures of a model version."""
        request = messages.GetModelMetadataRequest(
            model_spec=_model_spec(spec, ""), metadata_field=["signature_def"]
        ).SerializeToString()
        response = _parse(messages.GetModelMetadataResponse, self._call(spec, messages.GET_MODEL_METADATA, request))
        packed = response.metadata["signature_def"].value
        listed = _parse(messages.SignatureDefMap, packed).signature_def
        signatures = {str(name): _signature_of(each) for name, each in listed.items()}
        return Metadata(response.model_spec.name, response.model_spec.version.value, signatures)

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def _call(self, spec: ModelSpec, method: str, request: bytes) -> bytes:
        import grpc

        call = self._open(spec).unary_unary(method)
        try:
            return bytes(call(request, timeout=self._timeout_s))
        except grpc.RpcError as failure:
            raise self._meaning(failure.code().name, failure.details() or "") from None

    def _open(self, spec: ModelSpec) -> Any:  # noqa: ANN401  # grpc has no types
        """Return the channel; one to another certificate than the attested one is closed first."""
        import grpc

        pem = self._attested(spec) if self._attested else None
        if self._channel is not None and pem == self._pem:
            return self._channel
        self.close()
        options, authority = channel_options(self._credentials), self._address.authority
        if self._address.secure:
            trusted = self._credentials.channel_credentials(attested_pem=pem)
            self._channel = grpc.secure_channel(authority, trusted, options=options)
        else:
            self._channel = grpc.insecure_channel(authority, options=options)
        self._pem = pem
        return self._channel

    def _meaning(self, status: str, text: str) -> StrongroomError:
        """Return the typed error; gRPC says UNAVAILABLE for every failed handshake, so ask TLS itself why."""
        why = None
        if status == _UNREACHED:
            why = why_closed(self._address, self._credentials, timeout_s=self._timeout_s)
        return why or error_of_status(status, text)


def channel_options(credentials: Credentials) -> list[tuple[str, int | str]]:
    """Return gRPC's channel arguments: message sizes bounded by us, the server's name where it is not the host."""
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # channels share no connection: one load task, one connection
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


def predict_request(
    model: str,
    inputs: Mapping[str, Array],
    *,
    signature_name: str = "",
    version: int | None = None,
    label: str | None = None,
) -> bytes:
    """Return an encoded PredictRequest. Raises UnclearRequest for no inputs or types without a tensor form."""
    if not inputs:
        raise UnclearRequest("a prediction needs at least one input")
    request = messages.PredictRequest(model_spec=_model_spec(ModelSpec(model, version, label), signature_name))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(array_to_tensor(np.asarray(value)))
    return bytes(request.SerializeToString())


def read_prediction(answer: bytes) -> dict[str, Array]:
    """Return the outputs of an encoded PredictResponse. Raises BadAnswer."""
    return _outputs_of(_parse(messages.PredictResponse, answer))


def _model_spec(spec: ModelSpec, signature_name: str) -> Any:  # noqa: ANN401  # a protobuf message
    made = messages.ModelSpec(name=spec.name, signature_name=signature_name)
    if spec.version is not None:
        made.version.value = spec.version
    elif spec.label is not None:
        made.version_label = spec.label
    return made


def _parse(message_class: Any, data: bytes) -> Any:  # noqa: ANN401  # protobuf messages
    try:
        return messages.parse(message_class, data)
    except messages.BadMessage:
        raise BadAnswer(f"the server's answer is no {message_class.DESCRIPTOR.name}") from None


def _outputs_of(response: Any) -> dict[str, Array]:  # noqa: ANN401  # a protobuf message
    try:
        return {str(name): tensor_to_array(tensor) for name, tensor in response.outputs.items()}
    except StrongroomError as problem:
        raise BadAnswer(f"an output of the server is no tensor: {problem.sentence}") from None


def _signature_of(listed: Any) -> Signature:  # noqa: ANN401  # a protobuf message
    inputs, outputs = (
        {str(name): _tensor_of(each) for name, each in side.items()} for side in (listed.inputs, listed.outputs)
    )
    return Signature(inputs, outputs, listed.method_name)


def _tensor_of(listed: Any) -> TensorInfo:  # noqa: ANN401  # a protobuf message
    shape = listed.tensor_shape
    sizes = None if shape.unknown_rank else tuple(int(dim.size) for dim in shape.dim)
    return TensorInfo(_enum_name(listed, "dtype"), sizes)


def _enum_name(message: Any, field: str) -> str:  # noqa: ANN401  # a protobuf message
    known = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(getattr(message, field))
    return known.name if known else str(getattr(message, field))
