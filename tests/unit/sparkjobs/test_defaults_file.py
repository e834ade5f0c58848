"""spark-defaults.conf comes back as it was written; what is none is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import StrongroomError
from strongroom.sparkjobs.defaults_file import BadDefaultsFile, parse, render

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",), max_codepoint=0xFFFF), max_size=40)


@given(st.dictionaries(NAMES.filter(lambda name: max(name) <= "\uffff"), VALUES.map(str.strip), max_size=5))
def test_what_is_written_is_read_again(settings: dict[str, str]) -> None:
    assert parse(render(settings)) == settings


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_an_error_of_ours(data: bytes) -> None:
    with contextlib.suppress(StrongroomError):
        parse(data)


def test_the_form_of_sparks_own_template_is_read() -> None:
    text = b"# comment\n\nspark.master   spark://h:7077\nspark.a=b c\n spark.d : e\\\\f\n! other\n"
    assert parse(text) == {"spark.master": "spark://h:7077", "spark.a": "b c", "spark.d": "e\\f"}


@pytest.mark.parametrize(
    "data", [b"\xff", b"spark.a b\\\nspark.authenticate false", b"spark.a \\uzzzz", b" = x", b"x" * (1 << 20) + b"y"],
    ids=["utf-8", "continued", "escape", "nameless", "long"],
)  # fmt: skip
def test_what_is_no_file_of_settings_is_refused(data: bytes) -> None:
    with pytest.raises(BadDefaultsFile) as refused:
        parse(data)
    assert refused.value.code == "SR-SPARK-DEFAULTS"
