"""The fast JSON parsers give what the exact one gives, or nothing."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import BadInput
from strongroom.tfserving import json_fast, json_request
from strongroom.tfserving.datatypes import DataType
from strongroom.tfserving.json_fast import FROM_BYTES, CompiledReader, FastJson, quick_body, regular_body
from strongroom.tfserving.json_request import INTEGERS, arrays_of, is_row_form, signature_name
from strongroom.tfserving.json_simd import SimdReader
from strongroom.tfserving.json_values import parse_body
from strongroom.tfserving.signatures import TensorSpec

try:
    CompiledReader()
except ImportError:  # not built here
    READERS = [SimdReader]
else:
    READERS = [CompiledReader, SimdReader]
KINDS = [DataType.DT_FLOAT, DataType.DT_DOUBLE, *INTEGERS, DataType.DT_BOOL, DataType.DT_STRING, DataType.DT_HALF]
BLANKS = st.sampled_from(["", " ", "\n\t", "\r "])
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str), st.integers(-300, 300).map(str), st.integers(0, 2**32).map(str),
    st.sampled_from(["-0", "-0.0", "1E5", "1e-9", "1e400", "01", "+1", ".5", "1.", "NaN", "1e", "--1", "1 2", ""]),
)  # fmt: skip
ODD = st.sampled_from(['"a"', "true", "null", "{}", "[]", "[1]", "[[1]]", '{"b64": "YQ=="}', "Infinity", "x"])


@st.composite
def lists(draw, leaf, shape):
    """Text of a nested list; now and then a list is longer or shorter than it should be."""
    if not shape:
        return draw(leaf)
    size = shape[0] + draw(st.sampled_from([0] * 40 + [1, -1]))
    parts = [draw(lists(leaf, shape[1:])) for _ in range(max(size, 0))]
    return "[" + draw(BLANKS) + ("," + draw(BLANKS)).join(parts) + draw(BLANKS) + "]"


@st.composite
def bodies(draw):
    regular = draw(st.booleans())
    plain = draw(st.sampled_from([st.integers(-99, 99).map(str), st.floats(-9, 9).map(repr), NUMBERS]))
    leaf = plain if regular else st.one_of(*[plain] * 30, ODD)
    value = draw(lists(leaf, draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))))
    if draw(st.booleans()) and draw(st.booleans()):
        value = '{{"{}": {}}}'.format(draw(st.sampled_from(["x", "y", "", 'a"'])), value)
    parts = [
        '"{}"{}:{}{}'.format(draw(st.sampled_from(["instances", "inputs", "other"])), draw(BLANKS), draw(BLANKS), value)
    ]
    if draw(st.booleans()):
        parts.insert(
            draw(st.integers(0, 1)), '"signature_name": "{}"'.format(draw(st.sampled_from(["", "s", "\\u0073", "é"])))
        )
    if draw(st.integers(0, 9)) == 0:
        parts.append(draw(st.sampled_from(parts)))
    end = draw(st.sampled_from(["}"] * 12 + ["", "} x", "}}", "]}", "},"]))
    return (draw(BLANKS) + "{" + (draw(BLANKS) + ",").join(parts) + draw(BLANKS) + end).encode()


def exact(raw, specs):
    body = parse_body(raw)
    return signature_name(body), is_row_form(body), arrays_of(body, specs)


def alike(ours, theirs):
    assert ours[:2] == theirs[:2]
    assert ours[2].keys() == theirs[2].keys()
    for name, array in theirs[2].items():
        assert (ours[2][name].dtype, ours[2][name].shape) == (array.dtype, array.shape)
        assert (
            ours[2][name].tolist() == array.tolist()
            if array.dtype.kind == "O"
            else (ours[2][name].tobytes() == array.tobytes())
        )


def check(fast, raw, specs):
    """Hold the fast ways against the exact one; return whether a list was read."""
    try:
        expected = exact(raw, specs)
    except BadInput:
        expected = None
    frame = regular_body(raw)
    inputs = fast.array(raw, frame, specs) if frame is not None else None
    if inputs is not None:
        assert expected is not None, "the exact parser refuses this"
        alike((frame.signature_name, frame.by_row, inputs), expected)
    body = quick_body(raw)
    if body is not None:
        try:
            quick = signature_name(body), is_row_form(body), arrays_of(body, specs)
        except BadInput:
            quick = None  # asked again: the exact parser has the last word
        if quick is not None:
            assert expected is not None
            alike(quick, expected)
    return inputs is not None


@pytest.fixture(scope="module", autouse=True)
def small_bodies_too():
    """Let simdjson read bodies of a few bytes, so that examples stay small."""
    json_fast.FROM_BYTES = 0
    yield
    json_fast.FROM_BYTES = FROM_BYTES


with_every_reader = pytest.mark.parametrize("reader", READERS)


@with_every_reader
@settings(deadline=None, max_examples=4 * settings.default.max_examples)
@given(
    cases=st.lists(st.tuples(bodies(), st.sampled_from(KINDS), st.sampled_from(["x", "xy"])), min_size=1, max_size=4)
)
def test_both_ways_give_the_same_array_or_the_exact_one_decides(reader, cases):
    fast = FastJson(reader())  # one parser for all: what it has read before does not matter
    for raw, kind, names in cases:
        check(fast, raw, {name: TensorSpec(name=name, dtype=kind, shape=None) for name in names})


@with_every_reader
@settings(deadline=None, max_examples=2 * settings.default.max_examples)
@given(raw=bodies(), data=st.data())
def test_damaged_bodies_are_read_alike_too(reader, raw, data):
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b'[]{},:"0 .e-\\x\x00\xff'))
    kind = data.draw(st.sampled_from([DataType.DT_FLOAT, DataType.DT_INT32]))
    check(FastJson(reader()), bytes(changed), {"x": TensorSpec(name="x", dtype=kind, shape=None)})


SPEC = {"x": TensorSpec(name="x", dtype=DataType.DT_FLOAT, shape=None)}


@with_every_reader
@pytest.mark.parametrize("body", [
    '{"instances": %s}', '{"inputs": %s}', '{"inputs": {"x": %s}}', '{"signature_name": "s", "instances": %s}',
    ' {"inputs":%s , "signature_name":"s" } ',
])  # fmt: skip
@pytest.mark.parametrize("value", ["[1]", "[[1, 2.5], [3e0, -4]]", "[[[1]], [[2]], [[3]]]"])
def test_regular_bodies_do_take_the_fast_way(reader, body, value):
    assert check(FastJson(reader()), (body % value).encode(), SPEC)


@with_every_reader
@pytest.mark.parametrize("value", [
    "[[1,2],[3],[4,5,6]]", "[[[1],[2]],[[3,4]]]", "[[1],2]", "[1,[2]]", "[[1,2],[]]", "[[]]",
    "[1,null]", "[18446744073709551616]",
])  # fmt: skip
def test_sv_12_ragged_or_odd_lists_do_not(reader, value):
    assert not check(FastJson(reader()), f'{{"instances": {value}}}'.encode(), SPEC)


@with_every_reader
def test_sv_12_deep_and_large_bodies_leave_nothing_behind(reader):
    fast = FastJson(reader())
    for value in ("[" * 40 + "1" + "]" * 40, "[" * 100_000, "[" + "1," * 500_000 + "1]"):
        check_only = f'{{"instances": {value}}}'.encode()
        frame = regular_body(check_only)
        if frame is not None:
            fast.array(check_only, frame, SPEC)
    for size in range(1, 30):
        check(fast, json.dumps({"instances": np.zeros((size, 2)).tolist()}).encode(), SPEC)
    if reader is SimdReader:
        assert len(fast._reader._frames) <= 8


ROWS = st.recursive(
    st.sampled_from([1, 2.5, True, "s", {"b64": "AA=="}, {"x": 1}, {"x": [1]}, {"x": 1, "y": 2}, {"z": 1}]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, max_examples=3 * settings.default.max_examples)
@given(
    key=st.sampled_from(["instances", "inputs"]),
    groups=st.lists(st.tuples(ROWS, st.integers(1, 6)), min_size=1, max_size=3),
    kind=st.sampled_from([*KINDS, DataType.DT_STRING]),
    names=st.sampled_from(["x", "xy"]),
)
def test_strides_find_the_same_first_wrong_element(key, groups, kind, names):
    body = {key: [row for row, times in groups for _ in range(times)]}
    specs = {name: TensorSpec(name=name, dtype=kind, shape=None) for name in names}
    found = []
    for stride in (2, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_request, "_STRIDE", stride)
            try:
                found.append(repr(arrays_of(body, specs)))
            except BadInput as problem:
                found.append(problem.sentence)
    assert found[0] == found[1]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("names", [3, 300])
def test_sv_12_a_name_that_comes_twice_is_found_among_many(names, times):
    members = [f'"k{number}":{number}' for number in range(names)] + ['"k1":7'] * (times - 1)
    raw = ('{"instances":[{' + ",".join(members) + "}]}").encode()
    assert (quick_body(raw) is None) == (times > 1)


@pytest.mark.parametrize("wrong", ["[1,2]", "true", '"s"'])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_sv_12_the_last_of_many_elements_is_found_wrong_without_walking_over_the_others(key, wrong):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    body = quick_body(f'{{"{key}":[{"[1]," * 100_000}{wrong}]}}'.encode())
    sys.setprofile(count)
    try:
        with pytest.raises(BadInput):
            arrays_of(body, {"x": TensorSpec(name="x", dtype=DataType.DT_FLOAT, shape=None)})
    finally:
        sys.setprofile(None)
    assert calls < 60_000  # of Python functions: a stride is walked over, not all
