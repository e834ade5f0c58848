"""gRPC over grpcio: raw bytes in, the dataplane, raw bytes out.

Message sizes are limited by grpcio before it assembles them, and again while it expands compressed ones.
Source: spec `model-server.md` sections 1 and 3.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio

from strongroom.errors import StrongroomError
from strongroom.serving.dataplane import METADATA_FIELD, Dataplane, missing_spec, query_of
from strongroom.serving.status import ClientNotAuthenticated, code_of, details, peers_view
from strongroom.serving.tls import ServerTls, client_check
from strongroom.tfserving import messages
from strongroom.tfserving.codes import Code
from strongroom.tfserving.predict_wire import encode_predict_response, parse_predict
from strongroom.tfserving.signatures import signatures_to_any
from strongroom.tfserving.status import status_response
from strongroom.tfserving.tensors import encode_tensor

Method = Callable[[bytes], Awaitable[bytes]]

_STATUS: Final = {code.value[0]: code for code in grpc.StatusCode}
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """Where to listen and what to hold; `addresses` are HOST:PORT or unix:PATH."""

    addresses: Sequence[str]
    max_message_bytes: int
    outputs_as_content: bool = False
    channel_arguments: Sequence[tuple[str, int | str]] = field(default_factory=tuple)


class GrpcFront:
    """PredictionService and ModelService on one server."""

    def __init__(self, dataplane: Dataplane, settings: GrpcSettings, tls: ServerTls | None) -> None:
        self._dataplane, self._settings, self._tls = dataplane, settings, tls
        self._accepts = client_check() if tls is not None and tls.mutual else None
        self._server: Any = None

    async def start(self) -> list[int]:
        """Listen; return the ports. Raises OSError where an address cannot be used."""
        limit = self._settings.max_message_bytes
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 1),
                *self._settings.channel_arguments,
            ]
        )
        server.add_generic_rpc_handlers((self._handlers(messages.PREDICTION_SERVICE, {
            "Predict": self._predict, "GetModelMetadata": self._metadata}),))  # fmt: skip
        server.add_generic_rpc_handlers((self._handlers(messages.MODEL_SERVICE, {"GetModelStatus": self._status}),))
        ports = [self._listen(server, address) for address in self._settings.addresses]
        await server.start()
        self._server = server
        return ports

    async def stop(self, grace_s: float) -> None:
        """Take no new calls; let running ones finish, for at most `grace_s` seconds."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _listen(self, server: Any, address: str) -> int:  # noqa: ANN401  # grpc has no types
        try:
            if self._tls is None:
                return int(server.add_insecure_port(address))
            return int(server.add_secure_port(address, self._tls.grpc_credentials()))
        except RuntimeError:
            raise OSError(f"gRPC cannot listen on {address}: is another program using it?") from None

    def _handlers(self, service: str, methods: dict[str, Method]) -> Any:  # noqa: ANN401  # grpc has no types
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._guarded(method)) for name, method in methods.items()
        }
        return grpc.method_handlers_generic_handler(service, handlers)

    def _guarded(self, method: Method) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """Return a handler that checks the peer, and ends every failure in one status."""

        async def handle(request: bytes, context: Any) -> bytes:  # noqa: ANN401  # grpc has no types
            try:
                self._check_peer(context)
                return await method(request)
            except StrongroomError as problem:
                code, text = code_of(problem), peers_view(problem)
            except Exception:  # noqa: BLE001  # a defect of ours: the peer learns that much, the log the rest
                _log.exception("a gRPC call failed in an unforeseen way")
                code, text = Code.INTERNAL, "internal error"
            await context.abort(_STATUS[code], details(text))
            raise AssertionError("abort raises")

        return handle

    def _check_peer(self, context: Any) -> None:  # noqa: ANN401  # grpc has no types
        if self._accepts is None:
            return
        shown = context.auth_context().get("x509_pem_cert", [b""])[0]
        if not self._accepts(shown):
            raise ClientNotAuthenticated("the client's certificate does not have the extended key usage clientAuth")

    async def _predict(self, request: bytes) -> bytes:
        prediction = await self._dataplane.predicted(parse_predict(request))
        as_content = self._settings.outputs_as_content
        return encode_predict_response(
            {
                name: encode_tensor(array, dtype, as_content=as_content)
                for name, (dtype, array) in prediction.outputs.items()
            },
            name=prediction.served.name,
            version=prediction.served.version,
            signature_name=prediction.signature_name,
        )

    async def _metadata(self, request: bytes) -> bytes:
        asked = messages.parse(messages.GetModelMetadataRequest, request)
        if not asked.HasField("model_spec"):
            raise missing_spec()
        self._dataplane.check_metadata_fields(asked.metadata_field)
        served = self._dataplane.choose(query_of(asked.model_spec))
        response = messages.GetModelMetadataResponse()
        response.model_spec.name = served.name
        response.model_spec.version.value = served.version
        response.metadata[METADATA_FIELD].CopyFrom(signatures_to_any(served.signatures))
        return bytes(response.SerializeToString())

    async def _status(self, request: bytes) -> bytes:
        asked = messages.parse(messages.GetModelStatusRequest, request)
        if not asked.HasField("model_spec"):
            raise missing_spec()
        return bytes(status_response(self._dataplane.statuses(query_of(asked.model_spec))).SerializeToString())
