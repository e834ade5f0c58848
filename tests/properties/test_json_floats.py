"""Many numbers are written as one by one, digit for digit."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.json_floats import nested_floats
from strongroom.tfserving.json_response import NonFinite, NotWritable, columns_text, float_texts, rows_text

USUAL = st.one_of(
    st.floats(2**-13, 999_998, width=32),
    st.integers(-1000, 1000).map(float),
    st.integers(-999_999, 999_999).map(lambda number: number / 1000),
    st.sampled_from([0.0, -0.0, 0.1, 0.01, 0.001, 1e-4, 999_998.9, 0.5, 99_999.99, 100_000.0, 9.9999999]),
    st.integers(-4, 5).map(lambda power: float(np.nextafter(np.float32(10.0**power), np.float32(0)))),
)  # fmt: skip
NUMBERS = st.one_of(*[USUAL] * 12, st.floats(width=32))
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def one_by_one(array):
    texts = float_texts(array.ravel())
    for size in reversed(array.shape):
        texts = [f"[{', '.join(texts[at * size : (at + 1) * size])}]" for at in range(len(texts) // size)]
    return texts[0]


@settings(deadline=None, max_examples=4 * settings.default.max_examples)
@given(SHAPES, st.data())
def test_the_text_is_the_same(shape, data):
    count = int(np.prod(shape))
    numbers = data.draw(st.lists(NUMBERS, min_size=count, max_size=count))
    with np.errstate(over="ignore"):
        array = np.array(numbers, np.float32).reshape(shape)
    text = nested_floats(array, float_texts)
    assert text in (None, one_by_one(array))
    assert nested_floats(array.astype(np.float32).T, float_texts) in (None, one_by_one(array.T))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 255.0, 1e5])
def test_random_numbers_of_every_size_are_the_same(scale):
    rng = np.random.default_rng(7)
    for array in (rng.random((50, 40), np.float32) * scale, np.round(rng.random((500, 4), np.float32) * scale, 3)):
        sure = array.astype(np.float32) + np.float32(2e-4)
        assert nested_floats(sure, float_texts) == one_by_one(sure)


def test_answers_take_it_and_still_say_what_nan_is():
    array = np.linspace(0, 1, 600, dtype=np.float32).reshape(2, 300)
    outputs = {"y": (DataType.DT_FLOAT, array)}
    assert rows_text(outputs) == f'{{"predictions": {one_by_one(array)}}}'
    assert columns_text(outputs) == f'{{"outputs": {one_by_one(array)}}}'
    array[1, 7] = np.nan
    assert json.loads(rows_text(outputs, NonFinite.NULL))["predictions"][1][7] is None
    assert "NaN" in rows_text(outputs)
    with pytest.raises(NotWritable):
        columns_text(outputs, NonFinite.ERROR)


@pytest.mark.parametrize("bits", [0x7F800001, 0xFF800001, 0x7FC00000])
@pytest.mark.parametrize("count", [3, 600])
def test_nan_is_nan_whether_it_signals_or_not(bits, count):
    array = np.linspace(0, 1, count, dtype=np.float32)
    array.view(np.uint32)[1] = bits
    outputs = {"y": (DataType.DT_FLOAT, array)}
    assert json.loads(columns_text(outputs, NonFinite.NULL))["outputs"][1] is None
    assert np.isnan(json.loads(rows_text(outputs))["predictions"][1])


def test_what_is_mostly_unusual_is_left_to_the_other_way():
    assert nested_floats(np.full(300, 1e-9, np.float32), float_texts) is None
