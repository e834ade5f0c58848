"""The exact JSON reader: equal to Python's on JSON, nothing but its refusal on anything else, in linear time."""

import json
import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from strongroom.tfserving.json_reader import BadJson, read
from strongroom.tfserving.json_values import MAX_SHOWN, parse_body, shown

NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats())
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=20,
)
PIECES = st.sampled_from(
    ['{"', '":', "{", "}", "[", "]", ",", ":", '"', "\\", "\\u12", "\\ud800", "nul", "null", "true", "-", "1", "0", ".",
     "e", "E+", "NaN", "Inf", "Infinity", " ", "\n", "\x00", "\x01", "ä", "a", '"instances"', "\ufeff"]
)  # fmt: skip


def same(first, second):
    if isinstance(first, float) or isinstance(second, float):
        first, second = float(first), float(second)
        return first == second or (math.isnan(first) and math.isnan(second))
    if isinstance(first, list):
        return isinstance(second, list) and len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return type(first) is type(second) and first == second


@given(VALUES, st.sampled_from([None, 1]), st.sampled_from(["", " x", "]"]))
def test_the_reader_reads_what_python_writes(value, indent, following):
    text = json.dumps(value, indent=indent, ensure_ascii=indent is None)
    if following and isinstance(value, int | float):
        following = " "  # "1x" begins with 1 for both, "1]" as well: only the end of a number is at stake
    assert same(read(f" {text}{following}"), value)


@given(st.lists(PIECES, max_size=30).map("".join))
def test_sv_12_the_reader_raises_its_refusal_alone_and_agrees_with_python(text):
    try:
        seen = read(text)
    except BadJson as problem:
        assert problem.sentence.startswith("JSON Parse error: ")
        return
    try:
        wanted = json.JSONDecoder().raw_decode(text.split("\x00")[0].lstrip(" \n"))[0]
    except json.JSONDecodeError:
        assert "Inf" in text or "-NaN" in text  # short names of Infinity, and a NaN with a sign, are read here alone
        return
    assert same(seen, wanted)


@given(st.binary(max_size=60))
def test_sv_12_any_body_is_an_object_or_one_refusal(body):
    try:
        assert isinstance(parse_body(body), dict)
    except BadJson as problem:
        assert problem.code == "SR-REST-JSON"


@given(VALUES)
def test_what_an_error_repeats_is_the_value_or_its_beginning(value):
    text = shown(value)
    assert len(text) <= MAX_SHOWN
    if isinstance(value, float):
        assert in_single_precision(read(text)) == in_single_precision(value)
    elif len(text) < MAX_SHOWN:
        assert same(read(text), value)


def in_single_precision(value):
    """A number alone is spelt in single precision, where it fits."""
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return value
