"""What a task makes of its rows: bytes or lists of numbers, labels that are whole, and nothing else."""

import numpy as np
import pyarrow as pa
import pytest

from strongroom.analytics.learning import keras_tasks
from strongroom.analytics.learning.keras_tasks import BadSamples, Lesson

LESSON = Lesson(
    model="", parameters=b"", optimizer={}, loss="", features="x", label="y", scale=0.5, epoch=1, batch_size=4,
    meetings=1, seed=0, threads=1,
)  # fmt: skip


def taken(features, labels, shape=(2, 2)):
    batch = pa.record_batch([features, labels], names=["x", "y"])
    return keras_tasks.samples_of(LESSON, iter([batch]), shape)


LABELS = pa.array([3, 4])


def test_bytes_are_pictures():
    found = taken(pa.array([b"\0\1\2\3", b"\4\5\6\xff"]), LABELS)
    assert found.features.shape == (2, 2, 2)
    assert found.features[1].tolist() == [[4, 5], [6, 255]]
    assert found.labels.tolist() == [3, 4]
    assert keras_tasks.prepared(found.features, LESSON)[1, 1, 1] == 127.5


def test_lists_of_numbers_are_features():
    assert taken(pa.array([[1.0, 2.0], [3.0, 4.5]]), LABELS, (2,)).features.tolist() == [[1.0, 2.0], [3.0, 4.5]]


def test_a_slice_of_a_batch_has_its_own_rows_alone():
    batch = pa.record_batch([pa.array([b"ab", b"cd", b"ef"]), pa.array([0, 1, 2])], names=["x", "y"]).slice(1)
    found = keras_tasks.samples_of(LESSON, iter([batch]), (2,))
    assert found.features.tolist() == [[99, 100], [101, 102]]


def test_a_task_without_rows_takes_part():
    empty = pa.record_batch([pa.array([], pa.binary()), pa.array([], pa.int32())], names=["x", "y"])
    assert len(keras_tasks.samples_of(LESSON, iter([empty]), (28, 28, 1))) == 0


@pytest.mark.parametrize(
    ("features", "labels"),
    [(pa.array([b"abc", b"abcde"]), LABELS), (pa.array([b"abcd", None]), LABELS), (pa.array([1, 2]), LABELS),
     (pa.array([[1.0], [1.0, 2.0, 3.0]]), LABELS), (pa.array([[1.0, None, 2.0, 3.0], [1.0] * 4]), LABELS),
     (pa.array([b"abcd", b"abcd"]), pa.array([1.5, 2.0])), (pa.array([b"abcd", b"abcd"]), pa.array([1, None])),
     (pa.array([["a"] * 4, ["b"] * 4]), LABELS)],
    ids=["uneven bytes", "no features", "numbers", "uneven lists", "no number", "fractions", "no label", "texts"],
)  # fmt: skip
def test_rows_that_the_model_does_not_take_are_refused(features, labels):
    with pytest.raises(BadSamples) as refused:
        taken(features, labels)
    assert refused.value.code == "SR-LEARN-SAMPLES"


def test_an_outcome_is_one_row_of_its_schema():
    row = keras_tasks.outcome(1, 10, np.float32(2.5), 7, b"w").to_pylist()
    assert row == [{"task": 1, "samples": 10, "loss": 2.5, "correct": 7, "parameters": b"w"}]
