"""The compiled reader of nested JSON numbers: every number is the double that Python has for it; no more is read."""

import json
import math
import struct
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.tfserving.tensors import MAX_RANK

numbers = pytest.importorskip("strongroom.tfserving._json_numbers", reason="nothing was compiled here")
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def near_a_middle(draw):
    """A decimal at, or just beside, the middle of two doubles: the hardest to round."""
    low = draw(st.floats(1e-30, 1e30))
    with localcontext() as context:
        context.prec = 800
        middle = (Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2
        context.prec = draw(st.integers(15, 60))
        return f"{+middle:{draw(st.sampled_from('fe'))}}"


@st.composite
def decimals(draw):
    digits = st.text("0123456789", min_size=1, max_size=draw(st.sampled_from([2, 8, 18, 40])))
    whole = draw(digits).lstrip("0") or "0"
    fraction = "." + draw(digits) if draw(st.booleans()) else ""
    exponent = draw(st.sampled_from(["", "", "e", "E+", "e-"]))
    return whole + fraction + (exponent and exponent + str(draw(st.integers(0, 340))))


@settings(deadline=None, max_examples=6 * settings.default.max_examples)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "-"]), st.one_of(decimals(), near_a_middle(), DOUBLES.map(abs).map(repr))),
        min_size=1,
    )
)
def test_numbers_are_rounded_as_python_rounds_them(signed):
    texts = [sign + text for sign, text in signed]
    expected = [float(value) for value in json.loads(f"[{','.join(texts)}]")]
    for text, value in zip(texts, expected, strict=True):
        raw = f"[{text}]".encode()
        found = numbers.nested(raw, 0, len(raw), "d")
        if found is None:
            assert ("." not in text and "e" not in text.lower()) or len(text) > 100, text
            continue
        assert found == ((1,), struct.pack("d", value))
        with np.errstate(over="ignore"):
            assert numbers.nested(raw, 0, len(raw), "f")[1] == np.float32(value).tobytes()


@given(st.lists(st.integers(-(2**65), 2**65), min_size=1), st.sampled_from("qQ"))
def test_integers_are_read_whole_or_left(values, kind):
    raw = json.dumps(values).encode()
    found = numbers.nested(raw, 0, len(raw), kind)
    low, high = (0, 10**19 - 1) if kind == "Q" else (-(2**63), 2**63 - 1)
    if all(low <= value <= high for value in values):
        assert found == ((len(values),), struct.pack(f"{len(values)}{kind}", *values))
    else:
        assert found is None


@given(st.binary(max_size=40), st.integers(0, 5), st.integers(0, 5), st.sampled_from("fdqQ"))
def test_sv_12_only_the_range_is_read_whatever_the_bytes(raw, before, after, kind):
    """What stands around the range makes no difference."""
    padded = b"1" * before + raw + b"1]"[:after]
    alone = numbers.nested(raw, 0, len(raw), kind)
    assert numbers.nested(padded, before, before + len(raw), kind) == alone
    assert numbers.nested(memoryview(bytearray(padded)), before, before + len(raw), kind) == alone


@pytest.mark.parametrize("text", [
    "", "]", "[]", "[[]]", "[1,]", "[,1]", "[1 2]", "[1]]", "[[1]", "[1][2]", "[01]", "[-01.5]", "[.5]", "[5.]",
    "[5.e1]", "[1e]", "[1e+]", "[--1]", "[+1]", "[-]", "[0x10]", "[1_0]", "[NaN1]", "[-NaN]", "[Inf]", "[Infinit]",
    "[null]",
    '["1"]', "[true]", "[{}]", "[1,[2]]", "[[1],2]", "[[1,2],[3]]", "[[1],[2,3]]", "[[[1]],[[2],[3]]]", "[1\x00]",
    "[1\x0b]", "[1.5\u0663]",
])  # fmt: skip
def test_sv_12_what_is_no_regular_list_is_not_read(text):
    raw = text.encode()
    assert [numbers.nested(raw, 0, len(raw), kind) for kind in "fdqQ"] == [None] * 4


def test_special_numbers_blanks_and_negative_zero_are_read_as_the_interface_has_them():
    raw = b" [ -0.0 ,\t-0,\r\n0e5 , NaN,Infinity , -Infinity,1e400,-1e-400 ]"
    shape, packed = numbers.nested(raw, 0, len(raw), "d")
    assert shape == (8,)
    assert [repr(value) for value in struct.unpack("8d", packed)] == [
        "-0.0", "0.0", "0.0", "nan", "inf", "-inf", "inf", "-0.0",
    ]  # fmt: skip


def test_sv_12_depth_is_bounded():
    for depth, shape in ((MAX_RANK, (1,) * MAX_RANK), (MAX_RANK + 1, None), (1_000_000, None)):
        raw = b"[" * depth + b"7.5" + b"]" * depth
        found = numbers.nested(raw, 0, len(raw), "f")
        assert found is None if shape is None else found[0] == shape


@pytest.mark.parametrize(("start", "stop", "kind"), [(-1, 3, "f"), (0, 4, "f"), (0, 3, "x")])
def test_an_impossible_range_or_kind_is_an_error(start, stop, kind):
    with pytest.raises(ValueError, match="nested"):
        numbers.nested(b"[1]", start, stop, kind)
