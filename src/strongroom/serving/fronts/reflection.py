"""gRPC server reflection, v1 and v1alpha: what a client without stubs asks to learn the services and messages.

Off unless the operator asks for it (`--enable_reflection`); it tells only what is published anyway.
Source: grpc/reflection/v1/reflection.proto; both versions have the same messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

from strongroom.serving.fronts.streams import Opener, Outlet, Stream
from strongroom.tfserving import messages, schema, schema_config, schema_grpc, schema_inference, schema_logs
from strongroom.tfserving.codes import Code
from strongroom.tfserving.descriptors import descriptor_set, message_classes

V1: Final = "grpc.reflection.v1"
V1ALPHA: Final = "grpc.reflection.v1alpha"
_message_class: Final = message_classes(schema_grpc.REFLECTION)
_ServerReflectionRequest: Any = _message_class(f"{V1}.ServerReflectionRequest")
_ServerReflectionResponse: Any = _message_class(f"{V1}.ServerReflectionResponse")
_Parts = tuple[str, str, bool, bool]  # request, response, client streams, server streams
_SERVICES: Final[Mapping[str, Mapping[str, _Parts]]] = {
    messages.PREDICTION_SERVICE: {
        "Classify": ("ClassificationRequest", "ClassificationResponse", False, False),
        "Regress": ("RegressionRequest", "RegressionResponse", False, False),
        "Predict": ("PredictRequest", "PredictResponse", False, False),
        "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse", False, False),
        "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse", False, False),
    },
    messages.MODEL_SERVICE: {
        "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse", False, False),
        "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse", False, False),
    },
    messages.HEALTH_SERVICE: {
        "Check": ("HealthCheckRequest", "HealthCheckResponse", False, False),
        "Watch": ("HealthCheckRequest", "HealthCheckResponse", False, True),
    },
    f"{V1}.ServerReflection": {
        "ServerReflectionInfo": ("ServerReflectionRequest", "ServerReflectionResponse", True, True)
    },
    f"{V1ALPHA}.ServerReflection": {
        "ServerReflectionInfo": ("ServerReflectionRequest", "ServerReflectionResponse", True, True)
    },
}


class Reflection:
    """The service for the services that a server has."""

    def __init__(self, services: Iterable[str]) -> None:
        wanted = {*services, f"{V1}.ServerReflection", f"{V1ALPHA}.ServerReflection"}
        self._services = [name for name in _SERVICES if name in wanted]
        self._files = {file.name: file for file in _files().file}
        self._symbols = {symbol: name for name, file in self._files.items() for symbol in _symbols(file)}

    @property
    def streams(self) -> Mapping[str, Opener]:
        """The streaming methods."""
        return {f"/{version}.ServerReflection/ServerReflectionInfo": self._open for version in (V1, V1ALPHA)}

    def answer(self, request: bytes) -> bytes:
        """Return the ServerReflectionResponse to a ServerReflectionRequest. Raises BadMessage."""
        asked = messages.parse(_ServerReflectionRequest, request)
        response = _ServerReflectionResponse(valid_host=asked.host, original_request=asked)
        kind = asked.WhichOneof("message_request")
        if kind == "list_services":
            for name in self._services:
                response.list_services_response.service.add(name=name)
        elif kind == "file_by_filename":
            self._describe(response, asked.file_by_filename)
        elif kind == "file_containing_symbol":
            self._describe(response, self._symbols.get(asked.file_containing_symbol.lstrip("."), ""))
        elif kind == "all_extension_numbers_of_type" and asked.all_extension_numbers_of_type in self._symbols:
            response.all_extension_numbers_response.base_type_name = asked.all_extension_numbers_of_type
        else:
            self._describe(response, "")
        return bytes(response.SerializeToString())

    def _describe(self, response: Any, name: str) -> None:  # noqa: ANN401  # a message class made at run time
        """Put a file and what it imports into the response, or that there is none."""
        if name not in self._files:
            response.error_response.error_code = Code.NOT_FOUND
            response.error_response.error_message = "not found"
            return
        for each in (name, *self._files[name].dependency):
            response.file_descriptor_response.file_descriptor_proto.append(self._files[each].SerializeToString())

    def _open(self, outlet: Outlet) -> Stream:
        return _Conversation(self, outlet)


@dataclass(frozen=True, slots=True)
class _Conversation:
    """One call: an answer for each question."""

    reflection: Reflection
    outlet: Outlet

    def message(self, data: bytes) -> None:
        self.outlet.send(self.reflection.answer(data))

    def ended(self) -> None:
        self.outlet.finish(Code.OK, "")

    def closed(self) -> None:
        """Nothing is kept."""


@cache
def _files() -> FileDescriptorSet:
    """Return every published message, one file a package, with the services of that package."""
    serving = "\n".join(part.TABLE for part in (schema, schema_inference, schema_config, schema_logs))
    result = FileDescriptorSet()
    for table in (serving, schema_grpc.HEALTH, schema_grpc.REFLECTION, schema_grpc.REFLECTION_V1ALPHA):
        result.MergeFrom(descriptor_set(table))
    by_package = {file.package: file for file in result.file}
    for full_name, methods in _SERVICES.items():
        package, _, name = full_name.rpartition(".")
        service = by_package[package].service.add(name=name)
        for method, (request, response, client_streams, server_streams) in methods.items():
            service.method.add(
                name=method,
                input_type=f".{package}.{request}",
                output_type=f".{package}.{response}",
                client_streaming=client_streams,
                server_streaming=server_streams,
            )
    return result


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Yield what a file defines: messages, enums, services and methods, by full name."""
    for service in file.service:
        yield f"{file.package}.{service.name}"
        yield from (f"{file.package}.{service.name}.{method.name}" for method in service.method)
    yield from (f"{file.package}.{enum.name}" for enum in file.enum_type)
    for message in file.message_type:
        yield from _nested(f"{file.package}.{message.name}", message)


def _nested(name: str, message: DescriptorProto) -> Iterator[str]:
    yield name
    yield from (f"{name}.{enum.name}" for enum in message.enum_type)
    for inner in message.nested_type:
        yield from _nested(f"{name}.{inner.name}", inner)
