"""How requests that wait become runs of an engine. Law of this room: outputs never cross requests.

`plan` who shares a run (pure) · `arrays` inputs joined, outputs split (pure) · `audit` whether joining may be trusted ·
`pace` what is measured · `jobs` what waits, and how much may · `executor` a planned run · `thread` the engine's
threads · `runner` a model's runner
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from strongroom.serving.batching.jobs import Done, Outputs
from strongroom.serving.batching.runner import ModelRunner
from strongroom.serving.engines.base import Engine
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.requests.tickets import Ticket
from strongroom.tfserving.config_batching import BatchingSettings
from strongroom.tfserving.datatypes import Array

__all__ = ["Done", "ModelRunner", "Outputs", "Runner", "make_runner"]


class Runner(Protocol):
    """Runs an engine's requests. All methods belong to the event loop that made it."""

    @property
    def description(self) -> str:
        """Threads and batching as they really are in force, for the start-up log."""

    def submit(
        self, signature: str, inputs: Mapping[str, Array], outputs: Sequence[str], done: Done, *, api: str = "Predict"
    ) -> Ticket:
        """Queue a run; `done` is called on the loop, once, with outputs or an error; never inside `submit`.

        `api` is a label of the metrics. Raises Overloaded, QueueFull, or BadRequest for a request larger than a batch.
        """

    async def close(self) -> None:
        """Finish what waits, then let go of the engine."""


def make_runner(
    engine: Engine,
    *,
    name: str,
    model: str = "",
    batching: BatchingSettings | None = None,
    drain: bool = True,
    metrics: Metrics | None = None,
) -> Runner:
    """Return the runner of a loaded model; `name` is for people, `model` the label of the metrics (or `name`).

    Without `batching`, requests that queue while the engine is busy are joined where that is safe, unless not `drain`.
    """
    return ModelRunner(engine, name=name, model=model, settings=batching, drain=drain, metrics=metrics)
