"""Train a Keras model on the rows of a DataFrame, on all cores of a job, without rows or model touching a disk.

World: starts Spark jobs. One barrier stage an epoch; between epochs the driver holds the model, so that it can say how
it does, and an epoch that lost an executor is repeated from there. The optimizer begins each epoch afresh.

    for epoch in train(model, rows, features="image", label="digit", epochs=2, scale=1 / 255):
        print(epoch.number, evaluate(model, others, features="image", label="digit", scale=1 / 255))
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strongroom.analytics.learning import needed, parameters
from strongroom.analytics.learning.keras_tasks import OUTCOME_SCHEMA, Lesson, judge, learn
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DEFAULT_BATCH_SIZE = 64
DEFAULT_MEETINGS = 4


class CannotTrain(BadInput):
    """A model or its rows are nothing that can be trained on here."""

    code = "SR-LEARN-MODEL"
    fix = "Compile a Keras model with a named loss for whole-numbered labels, and give it rows."


@dataclass(frozen=True, slots=True)
class Score:
    """How a model does on rows: mean loss, and how many of them it names rightly."""

    loss: float
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """The part that is right, 0 to 1."""
        return self.correct / self.count

    def __str__(self) -> str:
        """Return the line that BigDL's examples print."""
        return f"Top1Accuracy is Accuracy(correct: {self.correct}, count: {self.count}, accuracy: {self.accuracy:.4g})"


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over all rows: its number from 1, and how the model did while it learned."""

    number: int
    score: Score
    tasks: int


def train(
    model: Any,  # noqa: ANN401  # Keras has no types
    rows: DataFrame,
    *,
    features: str,
    label: str,
    epochs: int,
    scale: float = 1.0,
    batch_size: int = DEFAULT_BATCH_SIZE,
    meetings: int = DEFAULT_MEETINGS,
    workers: int | None = None,
    seed: int = 0,
) -> Iterator[Epoch]:
    """Train a compiled model in place, epoch by epoch. Raises CannotTrain, LearningNotInstalled.

    `scale`: what features are multiplied by; `meetings`: how often an epoch's tasks average their parameters;
    `workers`: tasks, which must all fit into the job at once (default: all its cores).
    """
    needed.tensorflow()
    tasks = workers or rows.sparkSession.sparkContext.defaultParallelism
    _check(epochs=epochs, batch_size=batch_size, meetings=meetings, workers=tasks)
    kept = rows.select(features, label).repartition(tasks).persist(_memory_alone())
    try:
        for number in range(1, epochs + 1):
            lesson = _lesson(
                model, features=features, label=label, scale=scale, epoch=number, batch_size=batch_size,
                meetings=meetings, seed=seed,
            )  # fmt: skip
            found = _outcomes(kept, functools.partial(learn, lesson), barrier=True)
            shapes = [array.shape for array in model.get_weights()]
            model.set_weights(parameters.from_bytes(bytes(found[0].parameters), shapes))
            yield Epoch(number, _score(found), len(found))
    finally:
        kept.unpersist()


def evaluate(
    model: Any,  # noqa: ANN401
    rows: DataFrame,
    *,
    features: str,
    label: str,
    scale: float = 1.0,
) -> Score:
    """Return how a compiled model does on rows. Raises CannotTrain."""
    lesson = _lesson(
        model, features=features, label=label, scale=scale, epoch=0, batch_size=DEFAULT_BATCH_SIZE, meetings=1, seed=0
    )
    return _score(_outcomes(rows.select(features, label), functools.partial(judge, lesson), barrier=False))


def _memory_alone() -> Any:  # noqa: ANN401
    from pyspark import StorageLevel

    return StorageLevel.MEMORY_ONLY


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise CannotTrain(f"{name} is {value}, and must be 1 or more")


def _lesson(model: Any, **how: Any) -> Lesson:  # noqa: ANN401
    if getattr(model, "optimizer", None) is None or not isinstance(model.loss, str):
        raise CannotTrain("the model is not compiled, or its loss has no name")
    return Lesson(
        model=model.to_json(),
        parameters=parameters.to_bytes(model.get_weights()),
        optimizer=needed.keras().optimizers.serialize(model.optimizer),
        loss=model.loss,
        threads=1,
        **how,
    )


def _outcomes(rows: DataFrame, task: Any, *, barrier: bool) -> list[Any]:  # noqa: ANN401
    found = rows.mapInArrow(task, OUTCOME_SCHEMA, barrier=barrier).collect()
    return sorted(found, key=lambda outcome: int(outcome.task))


def _score(outcomes: list[Any]) -> Score:
    count = sum(outcome.samples for outcome in outcomes)
    if count == 0:
        raise CannotTrain("there are no rows")
    loss = sum(outcome.loss for outcome in outcomes) / count
    return Score(loss, sum(outcome.correct for outcome in outcomes), count)
