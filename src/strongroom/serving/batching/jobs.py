"""A run that waits, and how much may wait: bounded in number and in bytes (SV-12)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from strongroom.errors import StrongroomError
from strongroom.serving.engines.base import Engine
from strongroom.serving.status import EngineFailed, Overloaded
from strongroom.serving.tickets import tell
from strongroom.tfserving.datatypes import Array

Outputs: TypeAlias = Mapping[str, Array]
Outcome: TypeAlias = Outputs | StrongroomError
Done: TypeAlias = Callable[[Outcome], None]

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much may wait for a model; one request always may."""

    requests: int = 1024
    input_bytes: int = 256 * 1024 * 1024


class Job:
    """A run that was accepted: the ticket of the one who asked."""

    __slots__ = ("done", "inputs", "outputs", "signature", "size")

    def __init__(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done) -> None:
        self.signature, self.inputs, self.outputs = signature, inputs, outputs
        self.done: Done | None = done  # None once nobody waits
        self.size = sum(map(bytes_of, inputs.values()))

    def cancel(self) -> None:
        """Forget who asked: not run if it has not begun, and its outcome goes nowhere."""
        self.done = None

    def finish(self, outcome: Outcome) -> None:
        """Call back, if somebody still waits."""
        done, self.done = self.done, None
        if done is not None:
            tell(done, outcome)


class Waiting:
    """Counts what waits against the room there is."""

    __slots__ = ("input_bytes", "requests", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.requests = self.input_bytes = 0

    def enter(self, job: Job) -> None:
        """Count a job in. Raises Overloaded."""
        if self.requests and (
            self.requests >= self.room.requests or self.input_bytes + job.size > self.room.input_bytes
        ):
            raise Overloaded(f"{self.requests} requests wait for the model already, with {self.input_bytes} bytes")
        self.requests += 1
        self.input_bytes += job.size

    def leave(self, job: Job) -> None:
        """Count a job out."""
        self.requests -= 1
        self.input_bytes -= job.size


def bytes_of(array: Array) -> int:
    """Return about how much memory an input keeps."""
    if array.dtype.kind != "O":
        return int(array.nbytes)
    return int(array.nbytes) + sum(map(len, array.ravel().tolist()))


def run_engine(engine: Engine, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Outcome:
    """Run, whatever the engine is like: never raises."""
    try:
        return engine.run(signature, inputs, outputs)
    except StrongroomError as problem:
        return problem
    except Exception as problem:  # noqa: BLE001  # the runner must outlive any defect of an engine
        _log.exception("the engine failed in an unforeseen way")
        return EngineFailed(f"the engine failed ({type(problem).__name__})")
