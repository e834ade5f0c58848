"""The one table of gRPC methods that every front uses: message bytes in, message bytes or an error out.

Fronts know connections, this knows messages; so their answers are equal by construction. Streaming methods (health
Watch, reflection) belong to the fronts. Source: spec `model-server.md` sections 1, 3 and 9.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.dataplane import Dataplane, Prediction
from strongroom.serving.requests.inference import Inference
from strongroom.serving.requests.model_service import Reloader, metadata_response, reload_response, versions_response
from strongroom.serving.requests.tickets import Ticket
from strongroom.serving.status import ServerDefect, code_of
from strongroom.tfserving import messages
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.predict_forms import PredictForms

ENTRYPOINT: Final = "GRPC"
_log: Final = logging.getLogger(__name__)

Reply: TypeAlias = Callable[[bytes | StrongroomError], None]
Method: TypeAlias = Callable[[bytes | memoryview, float | None, Reply], Ticket | None]


class Rpc:
    """Every unary method by its full path. All of it belongs to the event loop.

    A method takes the request message, a deadline (loop.time()) or None, and `reply`, which is called once on the
    loop, at once or later, with the response message or the error; `status.status_of` makes a gRPC status of that.
    It raises nothing. None is returned where nothing is left to cancel.
    """

    def __init__(
        self,
        dataplane: Dataplane,
        *,
        metrics: Metrics | None = None,
        reloader: Reloader | None = None,
        outputs_as_content: bool = False,
    ) -> None:
        self._dataplane = dataplane
        self._metrics = metrics or Metrics()
        self._reloader = reloader
        self._forms = PredictForms(outputs_as_content=outputs_as_content)
        inference = Inference(dataplane=dataplane, metrics=self._metrics)
        self.methods: Mapping[str, Method] = {
            messages.PREDICT: self._predict,
            messages.CLASSIFY: self._inferred("Classify", messages.ClassificationRequest, inference.classify),
            messages.REGRESS: self._inferred("Regress", messages.RegressionRequest, inference.regress),
            messages.MULTI_INFERENCE: self._inferred("MultiInference", messages.MultiInferenceRequest, inference.multi),
            messages.GET_MODEL_METADATA: _at_once(
                messages.GetModelMetadataRequest, lambda asked: metadata_response(dataplane, asked)
            ),
            messages.GET_MODEL_STATUS: _at_once(
                messages.GetModelStatusRequest, lambda asked: versions_response(dataplane, asked)
            ),
            messages.HANDLE_RELOAD_CONFIG: self._reload,
        }

    def tensor_place(self) -> int:
        """Where the tensor of the last large Predict request began in its message; the next one is like it mostly."""
        return self._forms.place

    def _predict(self, request: bytes | memoryview, deadline: float | None, reply: Reply) -> Ticket | None:
        counted = _Counted(self._metrics, "Predict", reply)
        try:
            call = self._forms.parse(request)
            if call.model_spec is not None:
                counted.model = call.model_spec.name
            return self._dataplane.predict(call, lambda made: counted.answer(made, self._encode), deadline=deadline)
        except Exception as problem:  # noqa: BLE001  # whatever it is: the peer gets one status
            counted.answer(_told(problem))
            return None

    def _encode(self, prediction: Prediction) -> bytes:
        return self._forms.encode(
            prediction.outputs,
            name=prediction.served.name,
            version=prediction.served.version,
            signature_name=prediction.signature_name,
        )

    def _inferred(
        self,
        api: str,
        kind: type[ProtoMessage],
        answer: Callable[..., Coroutine[None, None, ProtoMessage]],
    ) -> Method:
        def method(request: bytes | memoryview, deadline: float | None, reply: Reply) -> Ticket | None:
            counted = _Counted(self._metrics, api, reply)
            try:
                asked = messages.parse(kind, bytes(request))
            except StrongroomError as problem:
                counted.answer(problem)
                return None
            counted.model = _model_of(asked)
            timeout_s = None if deadline is None else deadline - asyncio.get_running_loop().time()
            return _Task(answer(asked, timeout_s=timeout_s), lambda made: counted.answer(made, _serialized))

        return method

    def _reload(self, request: bytes | memoryview, _deadline: float | None, reply: Reply) -> Ticket | None:
        """Exchange the models; a peer that leaves meanwhile does not stop it."""
        try:
            asked = messages.parse(messages.ReloadConfigRequest, bytes(request))
        except StrongroomError as problem:
            reply(problem)
            return None
        running = reload_response(self._reloader, self._metrics, asked)
        return _Task(running, lambda made: reply(made if isinstance(made, StrongroomError) else _serialized(made)),
                     goes_on=True)  # fmt: skip


@dataclass(slots=True)
class _Counted:
    """A request between its arrival and its reply, for the metrics."""

    metrics: Metrics
    api: str
    reply: Reply
    model: str = ""
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = perf_counter()

    def answer(self, made: Any, encode: Callable[[Any], bytes] = bytes) -> None:  # noqa: ANN401  # an error, or what `encode` takes
        """Encode and reply; count the outcome, and the time if it is a good one."""
        if not isinstance(made, StrongroomError):
            try:
                made = encode(made)
            except Exception as problem:  # noqa: BLE001  # whatever it is: the peer gets one status
                made = _told(problem)
        if isinstance(made, StrongroomError):
            self.metrics.count_request(self.model, code_of(made))
        else:
            self.metrics.answered(self.model, self.api, ENTRYPOINT, (perf_counter() - self.began) * 1e6)
        self.reply(made)


class _Task:
    """A coroutine as a ticket: its outcome goes to `done`, unless it was cancelled."""

    def __init__(
        self, running: Coroutine[None, None, ProtoMessage], done: Callable[[Any], None], *, goes_on: bool = False
    ) -> None:
        self._done: Callable[[Any], None] | None = done
        self._goes_on = goes_on
        self._task = asyncio.get_running_loop().create_task(running)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """Forget who asked."""
        self._done = None
        if not self._goes_on:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[ProtoMessage]) -> None:
        if task.cancelled():
            return
        problem = task.exception()
        done, self._done = self._done, None
        if done is not None:
            done(_told(problem) if problem is not None else task.result())


def _at_once(kind: type[ProtoMessage], answer: Callable[[ProtoMessage], ProtoMessage]) -> Method:
    def method(request: bytes | memoryview, _deadline: float | None, reply: Reply) -> None:
        try:
            made: bytes | StrongroomError = _serialized(answer(messages.parse(kind, bytes(request))))
        except Exception as problem:  # noqa: BLE001  # whatever it is: the peer gets one status
            made = _told(problem)
        reply(made)

    return method


def _model_of(asked: ProtoMessage) -> str:
    if "tasks" in asked.DESCRIPTOR.fields_by_name:
        return asked.tasks[0].model_spec.name if asked.tasks else ""
    return str(asked.model_spec.name)


def _serialized(message: ProtoMessage) -> bytes:
    return bytes(message.SerializeToString())


def _told(problem: BaseException) -> StrongroomError:
    """Return what a peer is told of any error; a defect of ours goes to the log."""
    if isinstance(problem, StrongroomError):
        return problem
    _log.error("a gRPC call failed in an unforeseen way", exc_info=problem)
    return ServerDefect("internal error")
