"""Records into runs and back: who shares a run, what a failure spoils, what happens to the batch dimension."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.streaming.worker.batching import Row, Work, groups_of, run_all


def row(values, name="x", *, added=True):
    array = np.asarray(values, np.float32)
    return Row({name: array}, len(array), added)


def one(*values, name="x"):
    return Work([row([list(values)], name)])


def run(works, predict, *, batchable=True, most_rows=64):
    runs = []

    async def recorded(inputs):
        runs.append({name: array.shape for name, array in inputs.items()})
        return await predict(inputs)

    asyncio.run(run_all(works, recorded, batchable=batchable, most_rows=most_rows))
    return runs


async def doubled(inputs):
    return {"y": 2 * inputs["x"]}


def test_equal_shapes_share_a_run_and_others_do_not():
    works = [one(1, 2), one(3, 4, 5), one(6, 7)]
    assert run(works, doubled) == [{"x": (2, 2)}, {"x": (1, 3)}]
    assert [work.outputs["y"].tolist() for work in works] == [[2, 4], [6, 8, 10], [12, 14]]


def test_other_names_run_apart():
    works = [one(1), one(1, name="z")]
    assert [len(group) for group in groups_of(works, batchable=True, most_rows=9)] == [1, 1]


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), most=st.integers(1, 8))
def test_no_run_is_larger_than_it_may_be_unless_one_record_is(sizes, most):
    works = [Work([row([[at]] * size, added=False)]) for at, size in enumerate(sizes)]
    groups = groups_of(works, batchable=True, most_rows=most)
    assert [id(work) for group in groups for work, _ in group] == [id(work) for work in works]
    for group in groups:
        assert len(group) == 1 or sum(work.rows[at].size for work, at in group) <= most


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_each_record_gets_its_own_rows_back(sizes):
    works = [Work([row([[at]] * size, added=False)]) for at, size in enumerate(sizes)]
    run(works, doubled)
    for at, (work, size) in enumerate(zip(works, sizes, strict=True)):
        assert work.outputs["y"].tolist() == [[2 * at]] * size


def test_an_output_of_one_number_a_row_is_a_tensor_without_dimensions():
    async def summed(inputs):
        return {"y": inputs["x"].sum(axis=1)}

    works = [one(1, 2), one(3, 4)]
    run(works, summed)
    assert [work.outputs["y"].shape for work in works] == [(), ()]
    assert [float(work.outputs["y"]) for work in works] == [3, 7]


def test_outputs_that_are_not_by_row_make_records_run_one_by_one():
    async def found(inputs):
        return {"boxes": np.zeros((5 * len(inputs["x"]), 4), np.float32)}

    works = [one(1), one(2)]
    assert run(works, found) == [{"x": (2, 1)}, {"x": (1, 1)}, {"x": (1, 1)}]
    assert [work.outputs["boxes"].shape for work in works] == [(5, 4), (5, 4)]


def test_d09_a_run_that_fails_is_made_again_record_by_record():
    async def picky(inputs):
        if (inputs["x"] < 0).any():
            raise RuntimeError("negative")
        return await doubled(inputs)

    works = [one(1), one(-1), one(3)]
    run(works, picky)
    assert [type(work.problem) for work in works] == [type(None), RuntimeError, type(None)]
    assert works[2].outputs["y"].tolist() == [6]


def test_instances_of_a_model_without_a_batch_are_stacked():
    work = Work([row([[1, 2]]), row([[3, 4]])])
    assert run([work], doubled, batchable=False) == [{"x": (1, 2)}, {"x": (1, 2)}]
    assert work.outputs["y"].tolist() == [[2, 4], [6, 8]]


def test_instances_whose_outputs_have_different_sizes_are_a_problem_of_that_record():
    async def grown(inputs):
        return {"y": np.zeros((1, int(inputs["x"][0, 0])), np.float32)}

    work, other = Work([row([[1]]), row([[2]])]), Work([row([[3]])])
    run([work, other], grown, batchable=False)
    assert isinstance(work.problem, ValueError)
    assert other.outputs["y"].shape == (3,)


def test_a_failure_of_one_instance_is_its_records_alone():
    async def picky(inputs):
        if (inputs["x"] < 0).any():
            raise RuntimeError
        return await doubled(inputs)

    work, other = Work([row([[1]]), row([[-1]]), row([[2]])]), Work([row([[3]])])
    run([work, other], picky, batchable=False)
    assert isinstance(work.problem, RuntimeError)
    assert other.outputs["y"].tolist() == [6]


def test_what_is_no_exception_is_not_swallowed():
    async def cancelled(inputs):
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run([one(1)], cancelled)
