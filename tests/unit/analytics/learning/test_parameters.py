"""Parameters between tasks: nothing is lost on the way, nothing else is taken, and the mean weighs samples."""

import numpy as np
import pytest

from strongroom.analytics.learning import parameters
from strongroom.analytics.learning.parameters import BadParameters

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7.5], dtype=np.float32)]
SHAPES = [(2, 3), (1,)]


def test_parameters_come_back_as_they_went():
    back = parameters.from_bytes(parameters.to_bytes(ARRAYS), SHAPES)
    assert all(np.array_equal(one, other) for one, other in zip(ARRAYS, back, strict=True))


def test_pieces_are_short_enough_for_one_message_and_join_to_what_was_sent(monkeypatch):
    monkeypatch.setattr(parameters, "MAX_MESSAGE_CHARS", 20)
    pieces = parameters.pieces(300, b"weights and more weights", tasks=4)
    assert len(pieces) > 1
    assert all(len(piece) <= 5 for piece in pieces)
    assert parameters.joined(pieces) == (300, b"weights and more weights")


def test_everybody_sends_as_many_pieces_whatever_they_saw():
    assert len(parameters.pieces(0, b"x" * 99, tasks=3)) == len(parameters.pieces(2**60, b"y" * 99, tasks=3))


def test_the_mean_weighs_tasks_by_their_samples():
    sent = [(samples, parameters.to_bytes([np.full((2, 3), value), np.full(1, value)])) for samples, value in
            ((3, 1.0), (1, 5.0), (0, 1e30))]  # fmt: skip
    found = parameters.mean(sent, SHAPES)
    assert found is not None
    assert np.allclose(found[0], 2.0)
    assert np.allclose(found[1], 2.0)


def test_nobody_having_seen_a_sample_leaves_the_model_alone():
    assert parameters.mean([(0, parameters.to_bytes(ARRAYS))], SHAPES) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 27, b"\0" * 32], ids=["none", "cut", "long"])
def test_parameters_of_another_model_are_refused(data):
    with pytest.raises(BadParameters) as refused:
        parameters.from_bytes(data, SHAPES)
    assert refused.value.code == "SR-LEARN-PARAMETERS"


@pytest.mark.parametrize("sent", [["!!!"], ["AAAA"], [""], ["é"]], ids=["signs", "short", "empty", "other letters"])
def test_what_is_no_message_of_a_task_is_refused(sent):
    with pytest.raises(BadParameters):
        parameters.joined(sent)
