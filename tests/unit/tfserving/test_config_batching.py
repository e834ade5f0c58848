"""BatchingParameters as text: defaults, rules, and what is refused in which words."""

import pytest

from strongroom.tfserving.config import BadConfigText
from strongroom.tfserving.config_batching import (
    BadBatching,
    BatchingSettings,
    default_batching,
    parse_batching,
    with_pool_of,
)


def parse(text, cpus=4):
    return parse_batching(text.encode(), file="f", cpus=cpus)


def test_an_empty_file_means_the_defaults():
    assert parse("# nothing\n") == default_batching(cpus=4) == BatchingSettings(num_batch_threads=4)
    assert (parse("").max_batch_size, parse("").max_enqueued_batches, parse("").batch_timeout_s) == (1000, 10, 0)


def test_every_field_is_read():
    settings = parse("""
        max_batch_size { value: 128 } batch_timeout_micros { value: 1500 } max_enqueued_batches: { value: 7 }
        num_batch_threads { value: 3 }, thread_pool_name { value: 'p' }
        allowed_batch_sizes: [4, 16] allowed_batch_sizes: 32
        pad_variable_length_inputs: true enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 32 }
    """)
    assert settings == BatchingSettings(
        max_batch_size=128, batch_timeout_s=0.0015, max_enqueued_batches=7, num_batch_threads=3, thread_pool_name="p",
        allowed_batch_sizes=(4, 16, 32), pad_variable_length_inputs=True, enable_large_batch_splitting=True,
        max_execution_batch_size=32,
    )  # fmt: skip
    assert [settings.padded(rows) for rows in (1, 4, 5, 32)] == [4, 4, 16, 32]


def test_a_batch_is_as_large_as_it_is_where_no_sizes_are_listed():
    assert parse("max_batch_size { value: 8 }").padded(5) == 5
    assert parse("max_batch_size { value: 8 }").max_execution_batch_size == 8


REFUSED = [
    ("max_batch_size { value: 8 } allowed_batch_sizes: 4",
     "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8"),
    ("max_batch_size { value: 8 } allowed_batch_sizes: [4, 4, 8]", "must be monotonically increasing"),
    ("max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]", "must be monotonically increasing"),
    ("num_batch_threads { value: 0 }", "num_batch_threads must be between 1 and"),
    ("max_batch_size { value: -1 }", "max_batch_size must be between 1 and"),
    ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be between 0 and"),
    ("max_execution_batch_size { value: 4 }", "needs enable_large_batch_splitting"),
    ("max_batch_size { value: 8 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 9 }",
     "should be less than or equal to max_batch_size"),
    (("max_batch_size { value: 8 } enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 } "
     "allowed_batch_sizes: [4, 8]"), "must match max_execution_batch_size; last entry was 8; expected 4"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[why[:40] for _, why in REFUSED])
def test_what_cannot_be_is_refused(text, why):
    with pytest.raises(BadBatching) as caught:
        parse(text)
    assert why in caught.value.sentence
    assert caught.value.code == "SR-SERVER-BATCHING"


@pytest.mark.parametrize("text", ["max_batch_sice { value: 8 }", "max_batch_size: 8", "{" * 60_000])
def test_text_that_is_not_the_message_is_refused(text):
    with pytest.raises(BadConfigText) as caught:
        parse(text)
    assert "BatchingParameters" in caught.value.sentence


def test_a_versions_own_file_does_not_choose_the_threads():
    own = parse("max_batch_size { value: 8 } num_batch_threads { value: 64 }")
    both = with_pool_of(own, parse("num_batch_threads { value: 2 } thread_pool_name { value: 'p' }"))
    assert (both.max_batch_size, both.num_batch_threads, both.thread_pool_name) == (8, 2, "p")
