"""What a failed result's word stands for."""

import pytest

from strongroom.clusterserving.faults import MAX_MESSAGE_BYTES, Fault, Internal, ServingError, error_of, short

CODES = {
    "bad_record": "SR-QUEUE-BAD-RECORD", "unsupported_serde": "SR-QUEUE-SERDE", "invalid_uri": "SR-QUEUE-URI",
    "too_large": "SR-QUEUE-TOO-LARGE", "bad_image": "SR-QUEUE-BAD-IMAGE", "bad_input_names": "SR-QUEUE-INPUT-NAMES",
    "shape_mismatch": "SR-QUEUE-SHAPE", "dtype_mismatch": "SR-QUEUE-DTYPE", "model_error": "SR-QUEUE-MODEL",
    "poisoned": "SR-QUEUE-POISONED", "deadline_exceeded": "SR-QUEUE-DEADLINE", "queue_full": "SR-QUEUE-FULL",
    "conflict": "SR-QUEUE-CONFLICT", "unseal_failed": "SR-QUEUE-UNSEAL", "unauthorized": "SR-QUEUE-UNAUTHORIZED",
    "not_ready": "SR-QUEUE-NOT-READY", "cancelled": "SR-QUEUE-CANCELLED", "internal": "SR-QUEUE-INTERNAL",
}  # fmt: skip


def test_the_table_has_every_word():
    assert set(CODES) == set(Fault)


@pytest.mark.parametrize(("word", "code"), CODES.items())
def test_an_05_every_word_is_an_error_of_its_own(word, code):
    error = error_of(word, "what happened", uri="u")
    assert (error.code, error.fault, error.message, error.uri) == (code, word, "what happened", "u")
    assert isinstance(error, ServingError)
    assert error.family


def test_a_word_that_nobody_knows_is_internal():
    assert type(error_of("of_a_newer_server", "x")) is Internal


@pytest.mark.parametrize("text", ["ä" * 2000, "x" * 5000, "\ud800" * 900])
def test_a_message_in_a_result_is_bounded_and_whole(text):
    found = short(text).encode()
    assert len(found) <= MAX_MESSAGE_BYTES
