"""TensorFlow Serving's gRPC interface from the caller's side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

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
from strongroom.client.connection import why_closed
from strongroom.client.credentials import Credentials
from strongroom.client.grpc_link import GrpcLink
from strongroom.client.pool import Pool
from strongroom.client.proof import Proof
from strongroom.client.retries import NotAnswered, Retrier, fate_of_grpc
from strongroom.client.status import BadAnswer, error_of_status
from strongroom.errors import StrongroomError
from strongroom.tfserving import messages
from strongroom.tfserving.tensors import array_to_tensor, tensor_to_array

PREDICT: Final = messages.PREDICT
_UNREACHED: Final = "UNAVAILABLE"


class _Call(NamedTuple):
    spec: ModelSpec
    method: str
    request: bytes


class GrpcTransport:
    """Speaks gRPC over the links of a pool; a link may have to prove itself for a model first."""

    def __init__(
        self, address: Address, credentials: Credentials, links: Pool[GrpcLink], retrier: Retrier, *, timeout_s: float
    ) -> None:
        self._address, self._credentials = address, credentials
        self._links, self._retrier, self._timeout_s = links, retrier, timeout_s

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

    def proof(self, spec: ModelSpec, *, fresh: bool = False) -> Proof:
        """Return what is proved about a connection that requests may take; `fresh` replaces all of them before."""
        if fresh:
            self._links.renew()
        return self._retrier.run(lambda left_s: self._prove(spec, left_s), self._timeout_s)

    def close(self) -> None:
        """Close the links."""
        self._links.close()

    def _prove(self, spec: ModelSpec, left_s: float) -> Proof:
        with self._links.lend(left_s) as link:
            channel, evidence = link.proof(spec, left_s)
        carried = f"requests go by gRPC to {self._address}, which must show the very certificate that was proved"
        return Proof(channel=channel, evidence=evidence, carried_by=carried if evidence else "")

    def _call(self, spec: ModelSpec, method: str, request: bytes) -> bytes:
        call = _Call(spec, method, request)
        return self._retrier.run(lambda left_s: self._once(call, left_s), self._timeout_s)

    def _once(self, call: _Call, left_s: float) -> bytes:
        """Try a call on one link. Raises NotAnswered."""
        ends = time.monotonic() + left_s
        while True:
            with self._links.lend(left_s) as link:
                if not link.stale:
                    return self._ask(link, call, ends)
                self._links.retire(link)  # nothing went over it: another one, which has to prove itself first

    def _ask(self, link: GrpcLink, call: _Call, ends: float) -> bytes:
        import grpc

        try:
            channel = link.channel(call.spec, max(0.001, ends - time.monotonic()))
        except NotAnswered:
            self._links.retire(link)
            raise
        try:
            ask = channel.unary_unary(call.method)
            answer = bytes(ask(call.request, timeout=max(0.001, ends - time.monotonic())))
        except grpc.RpcError as failure:
            status, text = failure.code().name, failure.details() or ""
        except ValueError:  # grpcio's word for it
            raise link.was_closed() from None
        else:
            link.used()
            return answer
        if status == _UNREACHED:
            self._links.retire(link)  # a new connection may reach another replica
        raise NotAnswered(fate_of_grpc(status, text), lambda: self._meaning(status, text))

    def _meaning(self, status: str, text: str) -> StrongroomError:
        """Return the typed error; gRPC says UNAVAILABLE for every failed handshake, so ask TLS itself why."""
        why = None
        if status == _UNREACHED:
            why = why_closed(self._address, self._credentials, timeout_s=self._timeout_s)
        return why or error_of_status(status, text)


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
