"""Load a server as the reference client does: concurrent tasks, one connection each, the same request in a loop.

Flags, warm-up and lines are those of the reference solution's `resnet_client_grpc.py` (spec `seed-workflow.md` 3.5);
failures are counted by code and never end the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from strongroom.client.address import Address, Protocol
from strongroom.client.answers import Array
from strongroom.client.bench_callers import Caller, CallFailed, GrpcSpeech, Repeating, RestSpeech, Speech
from strongroom.client.bench_report import Shape, Tally, error_line, query_line, shortened
from strongroom.client.credentials import Credentials
from strongroom.client.images import IMAGE_SIDE
from strongroom.client.retries import Retrier, Retries
from strongroom.errors import StrongroomError

WARM_UP_LOOPS: Final = 5
MISSING_OUTPUT: Final = "MISSING_OUTPUT"
MAX_REQUESTS_BYTES: Final = 256 * 1024 * 1024  # tasks share requests beyond this

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send where: `image` float32 [1, 224, 224, 3], or None for random pixels, another for each task.

    A task ends after `shape.loop` requests, or with the first that begins more than `seconds` after the start.
    """

    address: Address
    credentials: Credentials
    shape: Shape
    model: str
    input_name: str
    output_name: str
    signature_name: str
    image: Array | None
    timeout_s: float
    seconds: float | None = None
    retries: int = 0  # how often a request that was not answered is repeated before it counts as failed

    def speech(self) -> Speech:
        """Return the protocol that the address names."""
        kind = GrpcSpeech if self.address.protocol is Protocol.GRPC else RestSpeech
        return kind(self.address, self.credentials)

    def request(self, speech: Speech) -> bytes:
        """Return one encoded request of `batch` images."""
        if self.image is None:
            size = (self.shape.batch, IMAGE_SIDE, IMAGE_SIDE, 3)
            pixels = np.random.default_rng().integers(0, 255, size, dtype=np.uint8).astype(np.float32)
        else:
            pixels = np.repeat(self.image, self.shape.batch, axis=0)
        return speech.request(self.model, {self.input_name: pixels}, self.signature_name)

    def requests(self, speech: Speech) -> list[bytes]:
        """Return a request for each task, fewer where they would fill the memory."""
        first = self.request(speech)
        count = min(self.shape.cnum, max(1, MAX_REQUESTS_BYTES // len(first)))
        return [first, *(self.request(speech) for _ in range(count - 1))]


class LoadRun:
    """One run of a load; `tally` and `first` are there even when it is interrupted."""

    def __init__(self, load: Load, say: Say) -> None:
        self.load, self.tally = load, Tally()
        self.first: bytes | None = None
        self._say, self._speech = say, load.speech()
        self._requests = load.requests(self._speech)
        self._retrier = Retrier(Retries.of(load.retries))
        self._started = 0.0

    def go(self) -> None:
        """Run to the end. Ctrl-C ends it early and leaves what was counted; it is raised again."""
        self._started = time.perf_counter()
        try:
            asyncio.run(self._all_tasks())
        finally:
            self.tally.elapsed_s = time.perf_counter() - self._started

    def warm_up(self) -> Tally:
        """Run one request a task with the same requests, and return what happened; nothing of it is kept."""
        whole, kept = self.load, self.tally
        self.load, self.tally = replace(whole, shape=replace(whole.shape, loop=1), seconds=None), Tally()
        try:
            self.go()
            return self.tally
        finally:
            self.load, self.tally, self.first = whole, kept, None

    def first_as_dict(self, *, whole: bool = False) -> object:
        """Return the first answer as the reference client prints it; long lists are cut unless `whole`."""
        found = self._speech.as_dict(self.first or b"{}")
        return found if whole else shortened(found)

    async def _all_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            for task in range(self.load.shape.cnum):
                group.create_task(self._one_task(task, self._requests[task % len(self._requests)]))

    async def _one_task(self, task: int, request: bytes) -> None:
        async with self._speech.connect(self.load.model, self.load.timeout_s) as once:
            caller: Caller = Repeating(once, self._retrier, self.load.timeout_s) if self.load.retries else once
            index = 0
            while self._goes_on(index):
                await self._one_request(caller, task, index, request)
                index += 1

    def _goes_on(self, index: int) -> bool:
        """Whether a task sends another request; it sends at least one."""
        loop, seconds = self.load.shape.loop, self.load.seconds
        if index and seconds is not None and time.perf_counter() - self._started >= seconds:
            return False
        return loop == 0 or index < loop

    async def _one_request(self, caller: Caller, task: int, index: int, request: bytes) -> None:
        shape, started = self.load.shape, time.perf_counter()
        try:
            answer = await caller.call(request)
        except CallFailed as failure:
            self.tally.errors[failure.code] += 1
            self._say(error_line(shape, task, index, failure.code, failure.text))
            return
        latency_s = time.perf_counter() - started
        if self.first is None and not self._check(answer, task, index):
            return
        self.tally.latencies_s.append(latency_s)
        self._say(query_line(shape, task, index, latency_s))

    def _check(self, answer: bytes, task: int, index: int) -> bool:
        """Keep the first answer if it is one: it decodes and has the output that was asked for."""
        with contextlib.suppress(StrongroomError):
            names = self._speech.outputs(answer)
            if names is None or self.load.output_name in names:
                self.first = answer
                return True
        self.tally.errors[MISSING_OUTPUT] += 1
        self._say(error_line(self.load.shape, task, index, MISSING_OUTPUT, f"no output {self.load.output_name!r}"))
        return False
