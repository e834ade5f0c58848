"""Arguments in a file of their own, as releases before 1.3 read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.gramine.manifests import argv_file

WORD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(WORD, min_size=1, max_size=8))
def test_what_is_written_is_read_back(argv):
    assert argv_file.parse(argv_file.serialise(argv)) == tuple(argv)


def test_each_argument_ends_with_a_nul():
    assert argv_file.serialise(["a", "b c", ""]) == b"a\0b c\0\0"


@pytest.mark.parametrize("argv", [[], ["a\0b"], ["\ud800"]])
def test_what_cannot_be_an_argument_is_refused(argv):
    with pytest.raises(argv_file.ArgumentsUnfit) as caught:
        argv_file.serialise(argv)
    assert caught.value.code == "SR-ARGV-FILE"


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(argv_file.ArgumentsUnfit):
        assert argv_file.serialise(argv_file.parse(data)) == data
