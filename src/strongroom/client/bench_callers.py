"""Ask one Predict over gRPC or REST, once and again: what a load task needs of a connection, and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from strongroom.client.address import Address
from strongroom.client.answers import Array
from strongroom.client.connection import Connection, ServerUnreachable
from strongroom.client.credentials import Credentials
from strongroom.client.grpc_link import channel_options
from strongroom.client.grpc_transport import PREDICT, predict_request, read_prediction
from strongroom.client.rest import UNAVAILABLE, predict_body, predict_path
from strongroom.client.retries import Fate, Retrier, fate_of_grpc
from strongroom.client.status import BadAnswer, ServerSaid, clean, error_of_http, parse_json
from strongroom.errors import StrongroomError
from strongroom.tfserving import messages

MAX_ANSWER_BYTES: Final = 1 << 28


class CallFailed(Exception):
    """One request was not answered; `code` is gRPC's name of the status, `HTTP_404`, or one of our codes."""

    def __init__(self, code: str, text: str, fate: Fate = Fate.FINAL) -> None:
        super().__init__(text)
        self.code, self.text, self.fate = code, text, fate


class Caller(Protocol):
    """One connection to a server."""

    async def call(self, request: bytes) -> bytes:
        """Return the answer. Raises CallFailed."""


class Speech(Protocol):
    """One of TensorFlow Serving's two protocols: its requests, answers and connections."""

    def request(self, model: str, inputs: dict[str, Array], signature_name: str) -> bytes:
        """Return an encoded request."""

    def outputs(self, answer: bytes) -> frozenset[str] | None:
        """Return the names of an answer's outputs, None where it holds one without its name. Raises BadAnswer."""

    def as_dict(self, answer: bytes) -> dict[str, object]:
        """Return an answer in JSON's types."""

    def connect(self, model: str, timeout_s: float) -> contextlib.AbstractAsyncContextManager[Caller]:
        """Return a connection of its own for one task."""


class GrpcSpeech:
    """gRPC: one channel for each task."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._address, self._credentials = address, credentials

    def request(self, model: str, inputs: dict[str, Array], signature_name: str) -> bytes:
        """Return a PredictRequest."""
        return predict_request(model, inputs, signature_name=signature_name)

    def outputs(self, answer: bytes) -> frozenset[str]:
        """Return the names in a PredictResponse."""
        return frozenset(read_prediction(answer))

    def as_dict(self, answer: bytes) -> dict[str, object]:
        """Return protobuf's JSON form, which is what the reference client prints."""
        from google.protobuf.json_format import MessageToDict

        response = messages.parse(messages.PredictResponse, answer)
        told = dict(MessageToDict(response))
        if response.model_spec.HasField("version"):  # protobuf's JSON has wrapped numbers bare; our pool's wrap is ours
            told["modelSpec"]["version"] = str(response.model_spec.version.value)
        return told

    @contextlib.asynccontextmanager
    async def connect(self, _model: str, timeout_s: float) -> AsyncIterator[Caller]:
        """Open a channel; gRPC connects when it is used."""
        import grpc

        options, authority = channel_options(self._credentials), self._address.authority
        channel: Any  # grpc has no types that fit
        if self._address.secure:
            trusted = self._credentials.channel_credentials()
            channel = grpc.aio.secure_channel(authority, trusted, options=options)
        else:
            channel = grpc.aio.insecure_channel(authority, options=options)
        async with channel:
            yield _GrpcCaller(channel.unary_unary(PREDICT), timeout_s)


class _GrpcCaller:
    def __init__(self, method: Any, timeout_s: float) -> None:  # noqa: ANN401  # grpc has no types
        self._method, self._timeout_s = method, timeout_s

    async def call(self, request: bytes) -> bytes:
        import grpc

        try:
            return bytes(await self._method(request, timeout=self._timeout_s))
        except grpc.RpcError as failure:
            code, text = failure.code().name, failure.details() or ""
            raise CallFailed(code, clean(text), fate_of_grpc(code, text)) from None


class Repeating:
    """A caller that asks again as a client with `--retries` does; all tasks have one budget."""

    def __init__(self, caller: Caller, retrier: Retrier, timeout_s: float) -> None:
        self._caller, self._retrier, self._timeout_s = caller, retrier, timeout_s

    async def call(self, request: bytes) -> bytes:
        """Return the answer. Raises the last CallFailed."""
        ends, attempt = time.monotonic() + self._timeout_s, 0
        while True:
            attempt += 1
            try:
                answer = await self._caller.call(request)
            except CallFailed as failure:
                pause_s = self._retrier.pause_after(failure.fate, attempt, ends - time.monotonic())
                if pause_s is None:
                    raise
                await asyncio.sleep(pause_s)
            else:
                self._retrier.answered()
                return answer


class RestSpeech:
    """REST: one connection and one thread for each task."""

    def __init__(self, address: Address, credentials: Credentials) -> None:
        self._address, self._credentials = address, credentials

    def request(self, _model: str, inputs: dict[str, Array], signature_name: str) -> bytes:
        """Return a columnar body."""
        return predict_body(inputs, signature_name)

    def outputs(self, answer: bytes) -> frozenset[str] | None:
        """Return the names in a columnar answer; an only output comes without its name."""
        match parse_json(answer):
            case {"outputs": dict(named)}:
                return frozenset(map(str, named))
            case {"outputs": _}:
                return None
        raise BadAnswer("the server's answer has no outputs")

    def as_dict(self, answer: bytes) -> dict[str, object]:
        """Return the answer itself."""
        return dict(json.loads(answer))

    @contextlib.asynccontextmanager
    async def connect(self, model: str, timeout_s: float) -> AsyncIterator[Caller]:
        """Give a caller that connects when it is used, and again after a failure."""
        with ThreadPoolExecutor(1, thread_name_prefix="bench") as thread:
            caller = _RestCaller(self._address, self._credentials, predict_path(model), timeout_s, thread)
            try:
                yield caller
            finally:
                caller.close()


class _RestCaller:
    def __init__(
        self, address: Address, credentials: Credentials, path: str, timeout_s: float, thread: ThreadPoolExecutor
    ) -> None:
        self._address, self._credentials, self._path = address, credentials, path
        self._timeout_s, self._thread = timeout_s, thread
        self._connection: Connection | None = None

    async def call(self, request: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._exchange, request)

    def _exchange(self, request: bytes) -> bytes:
        fate = Fate.NOT_BEGUN
        try:
            if self._connection is None or not self._connection.is_open:
                self.close()
                self._connection = Connection(self._address, self._credentials, timeout_s=self._timeout_s)
            fate = Fate.UNKNOWN
            status, answer = self._connection.exchange("POST", self._path, request, limit=MAX_ANSWER_BYTES)
        except StrongroomError as problem:
            self.close()
            fate = fate if isinstance(problem, ServerUnreachable) else Fate.FINAL
            raise CallFailed(problem.code, clean(problem.sentence), fate) from None
        if status == 200:
            return answer
        error = error_of_http(status, answer)
        text = error.text if isinstance(error, ServerSaid) else error.sentence
        raise CallFailed(f"HTTP_{status}", clean(text), Fate.UNKNOWN if status == UNAVAILABLE else Fate.FINAL)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
