"""A run that waits, and how much may wait: bounded in number and in bytes (SV-12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.requests.tickets import tell
from strongroom.serving.status import Overloaded
from strongroom.tfserving.datatypes import Array

Outputs: TypeAlias = Mapping[str, Array]
Outcome: TypeAlias = Outputs | StrongroomError
Done: TypeAlias = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much may wait for a model; one request always may."""

    requests: int = 1024
    input_bytes: int = 256 * 1024 * 1024


class Job:
    """A run that was accepted: the ticket of the one who asked."""

    __slots__ = ("api", "done", "inputs", "outcome", "outputs", "rows", "signature", "size")

    def __init__(
        self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done, api: str = "Predict"
    ) -> None:
        self.signature, self.inputs, self.outputs, self.api = signature, inputs, outputs, api
        self.done: Done | None = done  # None once nobody waits
        self.outcome: Outcome | None = None  # None until it ran
        self.rows = 0  # the size of dimension 0 where the job may share a run
        self.size = 0
        for array in inputs.values():
            self.size += array.nbytes if array.dtype.kind != "O" else bytes_of(array)

    def cancel(self) -> None:
        """Forget who asked: not run if it has not begun, and its outcome goes nowhere."""
        self.done = None

    def finish(self) -> None:
        """Call back with the outcome, if there is one and somebody still waits."""
        done, self.done = self.done, None
        if done is not None and self.outcome is not None:
            tell(done, self.outcome)


class Waiting:
    """Counts what waits against the room there is."""

    __slots__ = ("input_bytes", "requests", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.requests = self.input_bytes = 0

    def enter(self, jobs: Sequence[Job]) -> None:
        """Count jobs in, all or none. Raises Overloaded."""
        size = jobs[0].size if len(jobs) == 1 else sum(job.size for job in jobs)
        if self.requests and (
            self.requests + len(jobs) > self.room.requests or self.input_bytes + size > self.room.input_bytes
        ):
            raise Overloaded(f"{self.requests} requests wait for the model already, with {self.input_bytes} bytes")
        self.requests += len(jobs)
        self.input_bytes += size

    def leave(self, jobs: Sequence[Job]) -> None:
        """Count jobs out."""
        for job in jobs:
            self.requests -= 1
            self.input_bytes -= job.size


def bytes_of(array: Array) -> int:
    """Return about how much memory an array of strings keeps."""
    return int(array.nbytes) + sum(map(len, array.ravel().tolist()))
