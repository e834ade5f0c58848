"""Load a gRPC server as the reference client does: concurrent tasks, one channel each, the same request in a loop.

Flags, warm-up and lines are those of the reference solution's `resnet_client_grpc.py` (spec `seed-workflow.md` 3.5);
failures are counted by code and never end the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from strongroom.client.address import Address
from strongroom.client.answers import Array
from strongroom.client.bench_report import Shape, Tally, error_line, query_line
from strongroom.client.credentials import Credentials
from strongroom.client.grpc_transport import PREDICT, channel_options, predict_request, read_prediction
from strongroom.client.images import IMAGE_SIDE
from strongroom.client.status import clean
from strongroom.errors import StrongroomError
from strongroom.tfserving import messages

WARM_UP_LOOPS: Final = 5
MISSING_OUTPUT: Final = "MISSING_OUTPUT"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send where: `image` float32 [1, 224, 224, 3], or None for random pixels, another for each task."""

    address: Address
    credentials: Credentials
    shape: Shape
    model: str
    input_name: str
    output_name: str
    signature_name: str
    image: Array | None
    timeout_s: float

    def request(self) -> bytes:
        """Return one encoded request of `batch` images."""
        if self.image is None:
            size = (self.shape.batch, IMAGE_SIDE, IMAGE_SIDE, 3)
            pixels = np.random.default_rng().integers(0, 255, size, dtype=np.uint8).astype(np.float32)
        else:
            pixels = np.repeat(self.image, self.shape.batch, axis=0)
        return predict_request(self.model, {self.input_name: pixels}, signature_name=self.signature_name)


class LoadRun:
    """One run of a load; `tally` and `first` are there even when it is interrupted."""

    def __init__(self, load: Load, say: Say) -> None:
        self.load, self.tally = load, Tally()
        self.first: bytes | None = None
        self._say = say
        self._requests = [load.request() for _ in range(load.shape.cnum)]

    def go(self) -> None:
        """Run to the end. Ctrl-C ends it early and leaves what was counted; it is raised again."""
        started = time.perf_counter()
        try:
            asyncio.run(self._all_tasks())
        finally:
            self.tally.elapsed_s = time.perf_counter() - started

    def first_as_dict(self) -> dict[str, object]:
        """Return the first answer as protobuf's JSON form, which is what the reference client prints."""
        from google.protobuf.json_format import MessageToDict

        return dict(MessageToDict(messages.parse(messages.PredictResponse, self.first or b"")))

    async def _all_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            for task, request in enumerate(self._requests):
                group.create_task(self._one_task(task, request))

    async def _one_task(self, task: int, request: bytes) -> None:
        async with _channel(self.load) as channel:
            call = channel.unary_unary(PREDICT)
            index = 0
            while self.load.shape.loop == 0 or index < self.load.shape.loop:
                await self._one_request(call, task, index, request)
                index += 1

    async def _one_request(self, call: Any, task: int, index: int, request: bytes) -> None:  # noqa: ANN401
        import grpc

        shape, started = self.load.shape, time.perf_counter()
        try:
            answer = await call(request, timeout=self.load.timeout_s)
        except grpc.RpcError as failure:
            code, text = failure.code().name, clean(failure.details() or "")
            self.tally.errors[code] += 1
            self._say(error_line(shape, task, index, code, text))
            return
        latency_s = time.perf_counter() - started
        if self.first is None and not self._check(answer, task, index):
            return
        self.tally.latencies_s.append(latency_s)
        self._say(query_line(shape, task, index, latency_s))

    def _check(self, answer: bytes, task: int, index: int) -> bool:
        """Keep the first answer if it is one: it decodes and has the output that was asked for."""
        with contextlib.suppress(StrongroomError):
            if self.load.output_name in read_prediction(answer):
                self.first = answer
                return True
        self.tally.errors[MISSING_OUTPUT] += 1
        self._say(error_line(self.load.shape, task, index, MISSING_OUTPUT, f"no output {self.load.output_name!r}"))
        return False


def _channel(load: Load) -> Any:  # noqa: ANN401  # grpc has no types
    import grpc

    options = channel_options(load.credentials)
    if not load.address.secure:
        return grpc.aio.insecure_channel(load.address.authority, options=options)
    return grpc.aio.secure_channel(load.address.authority, load.credentials.channel_credentials(), options=options)
