"""How queued requests become runs of an engine. Law of this room: outputs never cross requests.

`jobs` what waits, and how much may · `thread` one engine thread for each model
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from strongroom.serving.batching.jobs import Done, Outputs
from strongroom.serving.batching.thread import EngineThread
from strongroom.serving.engines.base import Engine
from strongroom.serving.tickets import Ticket
from strongroom.tfserving.datatypes import Array

__all__ = ["Done", "EngineThread", "Outputs", "Runner", "make_runner"]


class Runner(Protocol):
    """Runs an engine's requests. All methods belong to the event loop that made it."""

    @property
    def description(self) -> str:
        """Threads and batching as they really are in force, for the start-up log."""

    def submit(self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done) -> Ticket:
        """Queue a run; `done` is called on the loop, once, with outputs or an error. Raises Overloaded."""

    async def close(self) -> None:
        """Finish what waits, then let go of the engine."""


def make_runner(engine: Engine, *, name: str) -> Runner:
    """Return the runner that fits a loaded model; `name` is for people."""
    return EngineThread(engine, name=name)
