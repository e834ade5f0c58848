"""What each task of a Keras job does: learn from its own rows, meet the others now and then, return what came of it.

World: runs in Spark's Python workers. Rows are Arrow batches with a column of features (bytes, or lists of numbers)
and one of labels; they stay in the worker's memory. Between meetings a task learns alone (parameter averaging), so
that an epoch has few, large synchronisations, which go through Spark's own protected channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strongroom.analytics.learning import needed, parameters
from strongroom.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

OUTCOME_SCHEMA = "task int, samples long, loss double, correct long, parameters binary"


class BadSamples(BadInput):
    """Rows do not hold what the model takes."""

    code = "SR-LEARN-SAMPLES"
    fix = "Give a column of features with as many numbers as the model's input, and one of whole-numbered labels."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One epoch over all rows: the model as it is, and how to go on."""

    model: str
    parameters: bytes
    optimizer: dict[str, Any]
    loss: str
    features: str
    label: str
    scale: float
    epoch: int
    batch_size: int
    meetings: int
    seed: int
    threads: int


@dataclass(frozen=True, slots=True)
class Samples:
    """What a task learns from: one row of features a label."""

    features: NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)

    def taken(self, chosen: NDArray[np.int64]) -> Samples:
        """Return some of them."""
        return Samples(self.features[chosen], self.labels[chosen])


def learn(lesson: Lesson, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Learn one epoch among the other tasks of a barrier stage; the first task returns the parameters."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    task, tasks = context.partitionId(), len(context.getTaskInfos())
    model = model_of(lesson)
    samples = samples_of(lesson, batches, model.input_shape[1:])
    shapes = [array.shape for array in model.get_weights()]
    order = np.random.default_rng([lesson.seed, lesson.epoch, task]).permutation(len(samples))
    loss, correct = 0.0, 0
    for chosen in np.array_split(order, lesson.meetings):
        seen = _fit(model, samples.taken(chosen), lesson)
        loss, correct = loss + seen[0], correct + seen[1]
        sent = parameters.pieces(len(chosen), parameters.to_bytes(model.get_weights()), tasks=tasks)
        gathered = [context.allGather(piece) for piece in sent]
        met = [parameters.joined([piece[other] for piece in gathered]) for other in range(tasks)]
        agreed = parameters.mean(met, shapes)
        if agreed is not None:
            model.set_weights(agreed)
    result = parameters.to_bytes(model.get_weights()) if task == 0 else b""
    yield outcome(task, len(samples), loss, correct, result)


def judge(lesson: Lesson, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Compare what the model says with the labels, task by task; needs no barrier."""
    from pyspark import TaskContext

    context = TaskContext.get()
    model = model_of(lesson)
    samples = samples_of(lesson, batches, model.input_shape[1:])
    loss, correct = 0.0, 0
    if len(samples):
        mean_loss, accuracy = model.evaluate(
            prepared(samples.features, lesson), samples.labels, batch_size=1024, verbose=0
        )
        loss, correct = mean_loss * len(samples), round(accuracy * len(samples))
    yield outcome(context.partitionId() if context else 0, len(samples), loss, correct, b"")


def model_of(lesson: Lesson) -> Any:  # noqa: ANN401  # Keras has no types
    """Return the lesson's model with its parameters, ready to learn."""
    needed.tensorflow(lesson.threads)
    keras = needed.keras()
    keras.utils.set_random_seed(lesson.seed)
    model = keras.models.model_from_json(lesson.model)
    model.set_weights(parameters.from_bytes(lesson.parameters, [array.shape for array in model.get_weights()]))
    model.compile(keras.optimizers.deserialize(dict(lesson.optimizer)), loss=lesson.loss, metrics=["accuracy"])
    return model


def samples_of(lesson: Lesson, batches: Iterator[pa.RecordBatch], shape: Sequence[int]) -> Samples:
    """Return all rows of a task. Raises BadSamples for rows that the model does not take."""
    features, labels = [], []
    for batch in batches:
        if batch.num_rows:
            features.append(_features(batch.column(lesson.features), tuple(shape)))
            labels.append(_labels(batch.column(lesson.label)))
    if not features:
        return Samples(np.empty((0, *shape), dtype=np.float32), np.empty(0, dtype=np.int64))
    return Samples(np.concatenate(features), np.concatenate(labels))


def prepared(features: NDArray[Any], lesson: Lesson) -> NDArray[np.float32]:
    """Return features as the model takes them; as late as here, because bytes are a quarter of their numbers."""
    return features.astype(np.float32) * np.float32(lesson.scale)


def outcome(task: int, samples: int, loss: float, correct: int, result: bytes) -> pa.RecordBatch:
    """Return a task's row of OUTCOME_SCHEMA. `loss`: the sum over its samples."""
    import pyarrow as pa

    kinds = (("task", pa.int32()), ("samples", pa.int64()), ("loss", pa.float64()), ("correct", pa.int64()),
             ("parameters", pa.binary()))  # fmt: skip
    row = (task, samples, float(loss), int(correct), result)
    columns = [pa.array([value], kind) for value, (_, kind) in zip(row, kinds, strict=True)]
    return pa.record_batch(columns, names=[name for name, _ in kinds])


def _fit(model: Any, samples: Samples, lesson: Lesson) -> tuple[float, int]:  # noqa: ANN401
    if not len(samples):
        return 0.0, 0
    inputs = prepared(samples.features, lesson)
    seen = model.fit(inputs, samples.labels, batch_size=lesson.batch_size, epochs=1, shuffle=False, verbose=0).history
    return seen["loss"][-1] * len(samples), round(seen["accuracy"][-1] * len(samples))


def _features(column: pa.Array, shape: tuple[int, ...]) -> NDArray[Any]:
    import pyarrow as pa

    size = int(np.prod(shape))
    if column.null_count:
        raise BadSamples("a row has no features")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        rows = column.to_pylist()
        flat = np.frombuffer(b"".join(rows), dtype=np.uint8)
        even = all(len(row) == size for row in rows)
    elif pa.types.is_list(column.type) and _is_number(column.type.value_type):
        numbers = column.flatten()
        if numbers.null_count:
            raise BadSamples("a row has a feature without a number")
        flat = numbers.to_numpy(zero_copy_only=False)
        even = all(length == size for length in column.value_lengths().to_pylist())
    else:
        raise BadSamples(f"features of type {column.type} are neither bytes nor lists of numbers")
    if not even:
        raise BadSamples(f"a row has no {size} features, which the model takes")
    return flat.reshape(len(column), *shape)


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _labels(column: pa.Array) -> NDArray[np.int64]:
    import pyarrow as pa

    if column.null_count or not pa.types.is_integer(column.type):
        raise BadSamples("labels are whole numbers, one a row")
    labels: NDArray[np.int64] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return labels
