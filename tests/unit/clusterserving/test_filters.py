"""The texts of filters: the original's, which is not JSON, and ours, which is."""

import json

import numpy as np
import pytest

from strongroom.clusterserving.faults import ModelError
from strongroom.clusterserving.filters import BadFilter, Filter

OUTPUT = np.array([[0.1, 0.7, 0.15, 0.05]], np.float32)
TABLE = np.array([[1, 2.5], [3, 4], [5, 6]], np.float32)


@pytest.mark.parametrize("text", ["topN(1)", "pickTopN(10)", "topN.json(10000)", " topN(2) "])
def test_filters_are_parsed(text):
    found = Filter.parse(text)
    assert found
    assert f"{found.kind}({found.k})" == text.strip()


@pytest.mark.parametrize("text", ["", "  "])
def test_no_filter_is_one_as_well(text):
    assert not Filter.parse(text)


@pytest.mark.parametrize(
    "text",
    ["topN", "topN()", "topN(0)", "topN(10001)", "topN(-1)", "topN(1) x", "topn(1)", "topN(1", "topN.json", "x" * 999],
)
def test_other_filters_are_refused(text):
    with pytest.raises(BadFilter) as caught:
        Filter.parse(text)
    assert caught.value.code == "SR-QUEUE-FILTER"
    assert len(caught.value.sentence) < 120


def test_d18_top_n_is_the_originals_text_without_commas():
    assert Filter.parse("topN(2)").apply([OUTPUT]) == "[[1,0.7][2,0.15]]"
    assert Filter.parse("topN(9)").apply({"y": OUTPUT[0]}) == "[[1,0.7][2,0.15][0,0.1][3,0.05]]"


def test_d18_top_n_json_is_json():
    assert json.loads(Filter.parse("topN.json(2)").apply([OUTPUT])) == [[1, 0.7], [2, 0.15]]
    assert json.loads(Filter.parse("topN.json(1)").apply([OUTPUT, TABLE])) == [[[1, 0.7]], [[5, 6.0]]]
    assert json.loads(Filter.parse("topN.json(3)").apply([np.array([1, np.nan, np.inf])])) == [
        [2, None],
        [0, 1.0],
        [1, None],
    ]


def test_pick_top_n_writes_rows():
    assert Filter.parse("pickTopN(2)").apply([TABLE]) == "[[1.0,2.5][3.0,4.0]]"
    assert Filter.parse("pickTopN(1)").apply([TABLE[:, None]]) == "[[1.0,2.5]]"


def test_texts_of_several_outputs_are_joined():
    assert Filter.parse("topN(1)").apply([OUTPUT, TABLE]) == "[[1,0.7]][[5,6.0]]"


def test_the_first_of_equals_comes_first():
    assert Filter.parse("topN(3)").apply([np.zeros(5)]) == "[[0,0.0][1,0.0][2,0.0]]"


def test_numbers_are_as_short_as_they_can_be_read_back():
    for value in (0.1306194, 1e-30, 1e30, 16777216.0, -0.0):
        text = Filter.parse("topN(1)").apply([np.array([value], np.float32)])
        assert np.float32(text[4:-2]) == np.float32(value)


@pytest.mark.parametrize(
    ("text", "output"),
    [("topN(1)", np.array(["a"], object)), ("pickTopN(1)", np.zeros(3)), ("pickTopN(1)", np.zeros((1, 2, 3)))],
)
def test_outputs_that_cannot_be_ranked_are_the_models_error(text, output):
    with pytest.raises(ModelError) as caught:
        Filter.parse(text).apply([output])
    assert caught.value.code == "SR-QUEUE-MODEL"


def test_an_empty_output_has_no_best():
    assert Filter.parse("topN(3)").apply([np.zeros((1, 0))]) == "[]"
