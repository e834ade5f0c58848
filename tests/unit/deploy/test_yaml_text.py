"""Objects as YAML: read back as they were, by readers of YAML 1.1 and 1.2, and the same bytes each time."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.yaml_text import to_yaml

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=12), VALUES, max_size=5))
def test_what_was_written_is_read_back(value):
    assert list(yaml.safe_load_all(to_yaml([value]))) == [value]


@pytest.mark.parametrize("word", ["y", "N", "yes", "no", "on", "off", "true", "1e3", "0777", "1:30", "null", "~", ""])
def test_a_word_that_some_reader_takes_for_something_else_is_quoted(word):
    (line,) = to_yaml([{"a": word}]).splitlines()[1:]
    assert line in {f"a: '{word}'", f'a: "{word}"'}


def test_keys_keep_their_order_and_nothing_is_written_as_a_reference():
    shared = {"z": 1, "a": 2}
    assert to_yaml([{"b": shared, "a": [shared]}], comment="What it is.") == (
        "# What it is.\n---\nb:\n  z: 1\n  a: 2\na:\n  - z: 1\n    a: 2\n"
    )


def test_several_lines_stand_as_they_are():
    assert to_yaml([{"a": "one\ntwo\n"}]) == "---\na: |\n  one\n  two\n"


def test_what_is_no_plain_value_is_refused():
    with pytest.raises(yaml.YAMLError):
        to_yaml([{"a": object()}])
