"""Lists of tasks and batches, and the loads they make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.bench_plan import MAX_CELLS, Plan, cells, numbers


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("16", (16,)),
        ("1,16,32,48,64", (1, 16, 32, 48, 64)),
        ("1..64", (1, 2, 4, 8, 16, 32, 64)),
        ("1..48", (1, 2, 4, 8, 16, 32, 48)),
        ("3..3, 1", (3, 1)),
        ("1,1,2..4,4", (1, 2, 4)),
    ],
)
def test_a_list_or_a_range_that_doubles(text, wanted):
    assert numbers(text, most=64) == wanted


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "1..", "..4", "8..2", "1,,2", "x", "1.5", "9999999", "１"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"list of numbers|within"):
        numbers(text, most=64)


@given(st.text(max_size=30))
def test_no_text_makes_a_number_out_of_bounds(text):
    try:
        found = numbers(text, most=100)
    except ValueError:
        return
    assert found
    assert all(1 <= each <= 100 for each in found)


def test_a_matrix_is_every_pair_and_small_batches_come_first():
    assert cells((1, 2), (1, 8), Plan.MATRIX) == ((1, 1), (2, 1), (1, 8), (2, 8))


def test_edges_are_the_seeds_own_loads():
    steps = (1, 16, 32, 48, 64)
    found = cells(steps, steps, Plan.EDGES)
    assert found == (*((tasks, 1) for tasks in steps), *((1, images) for images in steps[1:]))


def test_a_matrix_has_an_end():
    many = tuple(range(1, 18))
    with pytest.raises(ValueError, match=str(MAX_CELLS)):
        cells(many, many, Plan.MATRIX)
