"""Who shares a run, how inputs are joined and outputs split, what is trusted, and what pays."""

import numpy as np
import pytest

from strongroom.serving.batching.arrays import cut, join, split, together
from strongroom.serving.batching.audit import AGAIN_EVERY, TRIALS, Audit, alike
from strongroom.serving.batching.jobs import bytes_of
from strongroom.serving.batching.pace import BatchLimit, Quickness
from strongroom.serving.batching.plan import Batches, can_share, key_of, rows_of
from strongroom.serving.status import NotSplittable, QueueFull, code_of
from strongroom.tfserving import DataType, Signature, TensorSpec
from strongroom.tfserving.codes import Code


def put(batches, *items, key=("k",), rows=1, now=0.0):
    for item in items:
        batches.add(item, key=key, rows=rows, size=8, now=now)


def taken(batches, now=0.0, **how):
    return list(iter(lambda: batches.take(now, **how), None))


def test_what_queued_is_taken_together_up_to_the_limit():
    batches = Batches(max_rows=3)
    put(batches, *"abcde")
    assert taken(batches) == [["a", "b", "c"], ["d", "e"]]
    assert batches.due_in(0.0) is None


def test_different_keys_do_not_share_and_the_longest_wait_goes_first():
    batches = Batches(max_rows=8)
    put(batches, "a", key=("k",))
    put(batches, "x", key=("l",))
    put(batches, "alone", key=None)
    put(batches, "b", key=("k",))
    assert taken(batches) == [["a", "b"], ["x"], ["alone"]]


def test_rows_count_and_a_request_that_does_not_fit_begins_the_next_batch():
    batches = Batches(max_rows=4)
    put(batches, "a", rows=3)
    put(batches, "b", rows=2)
    put(batches, "c", rows=2)
    put(batches, "large", rows=9)
    assert taken(batches) == [["a"], ["b", "c"], ["large"]]


def test_bytes_count_too():
    batches = Batches(max_rows=100, max_bytes=16)
    put(batches, *"abc")
    assert taken(batches) == [["a", "b"], ["c"]]


def test_a_batch_waits_for_others_until_its_timeout_or_until_it_is_full():
    batches = Batches(max_rows=2, timeout_s=1.0)
    put(batches, "a")
    assert (batches.take(0.5), batches.due_in(0.5)) == (None, 0.5)
    put(batches, "x", "y", key=("l",), now=0.5)
    assert batches.due_in(0.5) == 0.0
    assert taken(batches, 0.5) == [["x", "y"]]
    assert taken(batches, 1.0) == [["a"]]
    put(batches, "z", now=1.0)
    assert taken(batches, 1.0, everything=True) == [["z"]]


def test_a_full_queue_takes_what_joins_a_batch_and_refuses_what_opens_one():
    batches = Batches(max_rows=2, timeout_s=1.0, max_batches=1)
    put(batches, "a", "b")
    with pytest.raises(QueueFull) as caught:
        put(batches, "c")
    assert (caught.value.code, code_of(caught.value)) == ("SR-SERVE-QUEUE-FULL", Code.UNAVAILABLE)
    assert taken(batches) == [["a", "b"]]
    put(batches, "c")


def x(*shape, kind=np.float32):
    return {"x": np.zeros(shape, kind)}


def test_what_requests_must_have_in_common():
    key = key_of("s", x(2, 3), ["y"])
    assert key == key_of("s", x(5, 3), ["y"])
    others = [("t", x(2, 3), ["y"]), ("s", x(2, 4), ["y"]), ("s", x(2, 3, 1), ["y"]), ("s", x(2, 3), ["y", "z"]),
              ("s", x(2, 3, kind=np.float64), ["y"]), ("s", {"z": np.zeros((2, 3), np.float32)}, ["y"])]  # fmt: skip
    assert key not in [key_of(*other) for other in others]
    assert key_of("s", x(2, 3), [], padded=True) == key_of("s", x(2, 4), [], padded=True)
    assert key_of("s", x(2, 3), [], padded=True) != key_of("s", x(2), [], padded=True)
    assert key_of("s", {"a": x(1)["x"], "b": x(1)["x"]}, []) == key_of("s", {"b": x(1)["x"], "a": x(1)["x"]}, [])


@pytest.mark.parametrize(("inputs", "rows"), [
    (x(3), 3), (x(), 0), (x(0, 2), 0), ({}, 0), ({**x(3, 2), "z": np.zeros(3)}, 3), ({**x(3), "z": np.zeros(2)}, 0),
    ({**x(0), "z": np.zeros(2)}, 0), ({**x(3), "z": np.zeros(())}, 0),
])  # fmt: skip
def test_rows_are_what_all_inputs_have_in_dimension_0(inputs, rows):
    assert rows_of(inputs) == rows


@pytest.mark.parametrize(("shapes", "outputs", "may", "under_parameters"), [
    ([None], [None], True, True), ([(-1, 3)], [(-1,)], True, True), ([(1, 3)], [(-1,)], False, False),
    ([()], [()], False, False), ([], [(-1,)], False, False), ([(-1,)], [()], False, True),
    ([(-1,), (-1, 2)], [(-1,), (3,)], False, True), ([(-1,), (2,)], [(-1,)], False, False),
])  # fmt: skip
def test_a_signature_may_share_runs_if_dimension_0_is_free(shapes, outputs, may, under_parameters):
    def specs(listed):
        return {
            str(at): TensorSpec(name=str(at), dtype=DataType.DT_FLOAT, shape=each) for at, each in enumerate(listed)
        }

    signature = Signature(inputs=specs(shapes), outputs=specs(outputs))
    assert can_share(signature, outputs_too=True) is may
    assert can_share(signature, outputs_too=False) is under_parameters


def test_rows_that_fill_up_repeat_the_first_and_are_never_returned():
    parts = [{"x": np.array([[1.0], [2.0]])}, {"x": np.array([[3.0]])}]
    joined = join(parts, 5)["x"]
    assert joined.tolist() == [[1], [2], [3], [1], [1]]
    assert [part["y"].tolist() for part in split({"y": joined}, [2, 1], 5)] == [[[1], [2]], [[3]]]


def test_inner_sizes_grow_with_zeros_and_empty_strings():
    one, other = np.array([[b"a"]], object), np.array([[b"b", b"c"]], object)
    joined = join([{"x": np.array([[1, 2]]), "s": one}, {"x": np.array([[3]]), "s": other}], 2)
    assert joined["x"].tolist() == [[1, 2], [3, 0]]
    assert joined["s"].tolist() == [[b"a", b""], [b"b", b"c"]]


@pytest.mark.parametrize(("output", "text"), [
    (np.float32(1), "Batched output tensor has 0 dimensions"),
    (np.zeros(2), "does not equal the sum of the 0th dimension sizes of the input tensors: 2 vs. 3"),
])  # fmt: skip
def test_outputs_without_a_row_for_each_row_are_not_split(output, text):
    with pytest.raises(NotSplittable) as caught:
        split({"y": np.asarray(output)}, [1, 2], 3)
    assert text in caught.value.sentence
    assert (caught.value.code, code_of(caught.value)) == ("SR-SERVE-BATCH-OUTPUT", Code.FAILED_PRECONDITION)


def test_a_large_request_is_cut_and_put_together():
    pieces = cut({"x": np.arange(7), "z": np.arange(14).reshape(7, 2)}, 3)
    assert [len(piece["x"]) for piece in pieces] == [3, 3, 1]
    assert together(pieces)["z"].tolist() == np.arange(14).reshape(7, 2).tolist()
    with pytest.raises(NotSplittable):
        together([{"y": np.zeros((1, 2))}, {"y": np.zeros((1, 3))}])


def test_the_first_joined_runs_and_some_later_ones_are_audited():
    audit = Audit()
    seen = [number for number in range(1, 2 * AGAIN_EVERY + 1) if audit.due("s")]
    assert seen == [*range(1, TRIALS + 1), AGAIN_EVERY, 2 * AGAIN_EVERY]


A, B, NAN = np.array([b"a"], object), np.array([b"b"], object), np.float32([np.nan, np.inf])


@pytest.mark.parametrize(("joined", "single", "same"), [
    (np.float32([1, 2]), np.float32([1, 2.0001]), True), (np.float32([1, 2]), np.float32([1, 2.01]), False),
    (np.float32([1e-9, 1]), np.float32([0, 1]), True), (NAN, NAN, True), (NAN, np.float32([1, np.inf]), False),
    (np.int32([1]), np.int32([2]), False), (A, A, True), (A, B, False),
    (np.float32([1]), np.float64([1]), False), (np.float32([[1]]), np.float32([1]), False),
    (np.float32([]), np.float32([]), True), (np.float16([1]), np.float16([1.001]), True),
    (np.complex64([1 + 1j]), np.complex64([1 + 1j]), True),
])  # fmt: skip
def test_rounding_is_not_mixing(joined, single, same):
    assert alike([{"y": joined}], [{"y": single}]) is same


def test_a_quick_model_is_noticed_and_a_slow_one_never_stays_on_the_loop():
    quickness = Quickness()
    for _ in range(15):
        quickness.ran_in_thread(20e-6, 10e-6)
    assert not quickness.inline
    quickness.ran_in_thread(5e-3, 10e-6)  # waited for the interpreter
    assert quickness.inline
    for _ in range(10):
        quickness.ran_inline(1e-3, 10e-6 if quickness.in_doubt else None)  # others had the processor
    assert quickness.inline
    quickness.ran_inline(10e-6)
    assert not quickness.in_doubt
    for _ in range(3):
        quickness.ran_inline(1e-3, 1e-3)
    assert quickness.inline
    quickness.ran_inline(1e-3, 1e-3)
    assert not quickness.inline
    for _ in range(16):
        quickness.ran_in_thread(20e-6, 10e-6)
    assert not quickness.inline  # comes back twice as late
    for _ in range(16):
        quickness.ran_in_thread(20e-6, 10e-6)
    assert quickness.inline
    for _ in range(2):
        quickness.ran_inline(10e-3, 10e-3)
    assert not quickness.inline


def test_a_run_over_many_bytes_may_take_longer_and_proves_requests_of_its_size():
    quickness = Quickness()
    for _ in range(16):
        quickness.ran_in_thread(200e-6, 200e-6, size=1_200_000, requests=2)
    assert quickness.inline
    assert quickness.proved_bytes == 600_000
    quickness.ran_in_thread(5e-3, 5e-3, size=2_000_000)
    assert quickness.proved_bytes == 600_000
    for _ in range(5):
        quickness.ran_inline(400e-6, 400e-6, size=600_000)
    assert quickness.inline
    for _ in range(5):
        quickness.ran_inline(1e-3, 1e-3, size=600_000)
    assert not quickness.inline
    assert not quickness.proved_bytes


def test_a_model_that_leaves_its_work_to_other_threads_is_not_quick():
    quickness = Quickness()
    for _ in range(100):
        quickness.ran_in_thread(2e-3, 5e-6)
    assert not quickness.inline


def measured(limit, row_s):
    for power, each in enumerate(row_s):
        for _ in range(8):
            limit.ran(2**power, each * 2**power)


def test_batches_grow_by_one_step_as_long_as_they_pay():
    limit = BatchLimit()
    assert limit.rows == 1
    measured(limit, [0.020])
    assert limit.rows == 2
    measured(limit, [0.020, 0.0198])
    assert limit.rows == 1
    cheap, pays = BatchLimit(), BatchLimit()
    measured(cheap, [1e-5] * 7)
    assert cheap.rows == 64
    measured(pays, [0.020, 0.011, 0.007, 0.0068])
    assert pays.rows == 4


def test_what_did_not_pay_is_looked_at_again():
    limit = BatchLimit()
    measured(limit, [0.020, 0.0198])
    assert {limit.rows for _ in range(600) if limit.ran(1, 0.020) is None} == {1, 2}


def test_requests_that_come_with_many_rows_begin_there():
    limit = BatchLimit()
    limit.ran(8, 0.08)
    assert limit.rows == 16


def test_strings_count_with_what_they_hold():
    assert bytes_of(np.array([b"a" * 100, b""], object)) == 116
