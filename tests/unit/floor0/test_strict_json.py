"""Strict JSON refuses whatever two readers could understand differently."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.wire import Malformed
from strongroom.wire.strict_json import loads


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "names the key 'a' twice"),
        ('[{"b": {"c": 1, "c": 1}}]', "names the key 'c' twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("{} {}", "Extra data"),
        ("", "Expecting value"),
        (b"\xff", "not UTF-8"),
        ("[" * 33 + "]" * 33, "nested deeper than 32"),
        ("[" * 500_000, "nested deeper than 32"),
        ("9" * 5000, "JSON"),
        ("[" + " " * 1024 * 1024 + "]", "longer than"),
    ],
)
def test_ev_08_what_a_strict_reader_refuses(text, said):
    with pytest.raises(Malformed, match=said):
        loads(text)


@pytest.mark.parametrize(
    "bomb",
    [
        '"' + '\\"' * 500_000,
        '[{"' + '\\\\\\"' * 250_000,
        "{" + ",".join(f'"{number}":0' for number in range(90_000)) + ',"89999":1}',
    ],
    ids=["open string of quotes", "open string of escapes", "many keys, the last one twice"],
)
def test_ev_07_no_text_takes_more_than_linear_time(bomb):
    started = time.process_time()
    with pytest.raises(Malformed):
        loads(bomb)
    assert time.process_time() - started < 5  # quadratic: minutes


def test_brackets_in_strings_do_not_count_as_depth():
    text = json.dumps({"a": "[" * 100 + '\\"' + "{" * 100})
    assert loads(text) == json.loads(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value):
    assert loads(json.dumps(value)) == value


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_end_in_a_value_or_a_typed_error(data):
    try:
        loads(data)
    except StrongroomError as error:
        assert error.sentence
