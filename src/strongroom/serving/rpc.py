"""The one table of gRPC methods that every front uses: message bytes in, message bytes or an error out.

Fronts know connections, this knows messages; so their answers are equal by construction. Streaming methods (health
Watch, reflection) belong to the fronts. Source: spec `model-server.md` sections 1 and 3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Final, Protocol, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.dataplane import METADATA_FIELD, Dataplane, missing_spec, query_of
from strongroom.serving.status import ServerDefect
from strongroom.tfserving import messages
from strongroom.tfserving.predict_wire import encode_predict_response, parse_predict
from strongroom.tfserving.signatures import signatures_to_any
from strongroom.tfserving.status import status_response
from strongroom.tfserving.tensors import encode_tensor

_log: Final = logging.getLogger(__name__)


class Ticket(Protocol):
    """A call that was accepted."""

    def cancel(self) -> object:
        """Do not run it if it has not begun; its reply is not called any more."""


Reply: TypeAlias = Callable[[bytes | StrongroomError], None]
Method: TypeAlias = Callable[[bytes | memoryview, float | None, Reply], Ticket | None]


class Rpc:
    """Every unary method by its full path. All of it belongs to the event loop.

    A method takes the request message, a deadline (loop.time()) or None, and `reply`, which is called once on the
    loop, at once or later, with the response message or the error; `status.status_of` makes a gRPC status of that.
    It may raise a StrongroomError instead, and nothing else. None is returned where nothing is left to cancel.
    """

    def __init__(self, dataplane: Dataplane, *, outputs_as_content: bool = False) -> None:
        self._dataplane = dataplane
        self._outputs_as_content = outputs_as_content
        self.methods: Mapping[str, Method] = {
            messages.PREDICT: self._later(self._predict),
            messages.GET_MODEL_METADATA: self._at_once(self._metadata),
            messages.GET_MODEL_STATUS: self._at_once(self._status),
        }

    def _at_once(self, answer: Callable[[bytes], bytes]) -> Method:
        def method(request: bytes | memoryview, _deadline: float | None, reply: Reply) -> None:
            try:
                made: bytes | StrongroomError = answer(bytes(request))
            except StrongroomError as problem:
                made = problem
            except Exception as problem:  # noqa: BLE001  # a defect of ours: the peer learns that much, the log the rest
                made = _defect(problem)
            reply(made)

        return method

    def _later(self, answer: Callable[[bytes, float | None], Coroutine[None, None, bytes]]) -> Method:
        def method(request: bytes | memoryview, deadline: float | None, reply: Reply) -> Ticket:
            task = asyncio.get_running_loop().create_task(answer(bytes(request), deadline))
            task.add_done_callback(partial(_hand_over, reply))
            return task

        return method

    async def _predict(self, request: bytes, deadline: float | None) -> bytes:
        timeout_s = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
        prediction = await self._dataplane.predicted(parse_predict(request), timeout_s=timeout_s)
        return encode_predict_response(
            {
                name: encode_tensor(array, dtype, as_content=self._outputs_as_content)
                for name, (dtype, array) in prediction.outputs.items()
            },
            name=prediction.served.name,
            version=prediction.served.version,
            signature_name=prediction.signature_name,
        )

    def _metadata(self, request: bytes) -> bytes:
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

    def _status(self, request: bytes) -> bytes:
        asked = messages.parse(messages.GetModelStatusRequest, request)
        if not asked.HasField("model_spec"):
            raise missing_spec()
        return bytes(status_response(self._dataplane.statuses(query_of(asked.model_spec))).SerializeToString())


def _hand_over(reply: Reply, task: asyncio.Task[bytes]) -> None:
    if task.cancelled():
        return
    problem = task.exception()
    if problem is None:
        reply(task.result())
    else:
        reply(problem if isinstance(problem, StrongroomError) else _defect(problem))


def _defect(problem: BaseException) -> ServerDefect:
    _log.error("a gRPC call failed in an unforeseen way", exc_info=problem)
    return ServerDefect("internal error")
