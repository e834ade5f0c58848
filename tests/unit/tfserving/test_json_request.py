"""REST predict bodies: both forms, every refusal with TensorFlow Serving's text."""

import json

import numpy as np
import pytest

from strongroom.tfserving.datatypes import DataType, UnsupportedType
from strongroom.tfserving.json_fast import quick_body
from strongroom.tfserving.json_request import array_of, arrays_of, is_row_form, signature_name
from strongroom.tfserving.json_values import BadJson, parse_body, shown
from strongroom.tfserving.signatures import TensorSpec


def specs(**kinds):
    return {name: TensorSpec(name=name, dtype=DataType[f"DT_{kind}"], shape=None) for name, kind in kinds.items()}


ONE = specs(x="FLOAT")
TWO = specs(a="FLOAT", b="INT32")


def refusal(body, wanted=ONE):
    with pytest.raises(BadJson) as caught:
        arrays_of(body, wanted)
    assert caught.value.code == "SR-REST-JSON"
    return caught.value.sentence


def test_rows_become_one_array():
    array = arrays_of({"instances": [[1, 2.5], [3, 4]]}, ONE)["x"]
    assert array.dtype == np.float32
    assert array.tolist() == [[1, 2.5], [3, 4]]


def test_named_rows_become_one_array_an_input():
    arrays = arrays_of({"instances": [{"a": 1.5, "b": [1]}, {"b": [2], "a": 2}]}, TWO)
    assert arrays["a"].tolist() == [1.5, 2]
    assert arrays["b"].tolist() == [[1], [2]]


def test_a_lone_b64_object_is_a_plain_row():
    array = arrays_of({"instances": [{"b64": "YQ=="}, {"b64": ""}]}, specs(s="STRING"))["s"]
    assert array.tolist() == [b"a", b""]


@pytest.mark.parametrize(("value", "shape"), [(5.0, ()), ([], (0,)), ([[1], [2]], (2, 1)), ([[]], (1, 0))])
def test_columns_take_any_rank(value, shape):
    assert arrays_of({"inputs": value}, ONE)["x"].shape == shape
    assert arrays_of({"inputs": {"x": value}}, ONE)["x"].shape == shape


def test_a_lone_b64_object_is_a_bare_column():
    assert arrays_of({"inputs": {"b64": "YQ=="}}, specs(s="STRING"))["s"].tolist() == b"a"


def test_extra_columns_are_ignored():
    assert set(arrays_of({"inputs": {"x": 1, "more": "y"}}, ONE)) == {"x"}


def test_numbers_of_any_form_fill_floats():
    body = parse_body(b'{"inputs": [1, 1e39, -1e39, NaN, Infinity, -Infinity, 1435774380]}')
    array = arrays_of(body, ONE)["x"]
    assert array[1] == np.inf
    assert array[2] == -np.inf
    assert np.isnan(array[3])
    assert array[4] == np.inf
    assert array[6] == np.float32(1435774380)


def test_integers_beyond_every_type_become_infinity_as_floats():
    body = parse_body(f'{{"inputs": [{"9" * 5000}, -{"9" * 400}, 1]}}'.encode())
    assert arrays_of(body, ONE)["x"].tolist() == [np.inf, -np.inf, 1]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("INT32", 1.0), ("INT32", 2**31), ("INT64", 2**63), ("UINT32", -1), ("UINT64", 2**64), ("UINT8", 1e3),
     ("INT8", True), ("FLOAT", True), ("BOOL", 1), ("STRING", 1), ("FLOAT", None), ("DOUBLE", "1")],
)  # fmt: skip
def test_values_of_another_type_are_refused(kind, value):
    sentence = refusal({"inputs": value}, specs(x=kind))
    assert sentence.endswith(f"is not of expected type: {kind.lower()}")


@pytest.mark.parametrize(
    ("value", "word"),
    [(None, "Null"), (False, "False"), (True, "True"), ({"k": 1}, "Object"), ("s", "String")],
)
def test_a_type_mismatch_names_the_type(value, word):
    assert refusal({"inputs": {"x": value}}) == (
        f"JSON Value: {shown(value)} Type: {word} is not of expected type: float"
    )


@pytest.mark.parametrize(("kind", "value"), [("INT64", 2**63 - 1), ("UINT64", 2**64 - 1), ("UINT32", 2**32 - 1)])
def test_the_largest_integers_fit(kind, value):
    assert arrays_of({"inputs": [value]}, specs(x=kind))["x"].tolist() == [value]


def test_other_types_cannot_come_as_json():
    with pytest.raises(UnsupportedType, match="Conversion of JSON Value: 1 to type: half"):
        arrays_of({"inputs": [1]}, specs(x="HALF"))


def test_both_forms_at_once_are_refused():
    assert refusal({"instances": [1], "inputs": [1]}) == (
        'JSON Value: {\n    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only one of '
        "'inputs' or 'instances' keys to exist "
    )


def test_neither_form_is_refused():
    with pytest.raises(BadJson, match=r"^Missing 'inputs' or 'instances' key$"):
        is_row_form({})


ROW_1 = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
REFUSED_ROWS = [
    ("rows are no list", 1, ONE, "JSON Value: {\n    \"instances\": 1\n} Expecting 'instances' to be an list/array"),
    ("no rows", [], ONE, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
    (
        "plain rows for two inputs",
        [1],
        TWO,
        (
            "instances is a plain list, but expecting list of objects as multiple input "
            "tensors required as per tensorinfo_map"
        ),
    ),
    ("a value among objects", [{"x": 1.0}, 2.0], ONE, "Expecting object but got list at item 1 of input list"),
    ("an object among values", [1.0, {"x": 2.0}], ONE, "Expecting value/list but got object at item 1 of input list"),
    (
        "another size",
        [[1, 2], [3]],
        ONE,
        f"{ROW_1}Expecting tensor size: 2 but got: 1",
    ),
    (
        "another shape",
        [[1, 2], [[3], [4]]],
        ONE,
        f"{ROW_1}Expecting shape [2] but got: [2,1]",
    ),
    (
        "another type",
        ["x", "y"],
        ONE,
        (
            "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "x" Type: String is not of expected type: float'
        ),
    ),
    (
        "an unknown name",
        [{"zz": 1.0}],
        ONE,
        (
            "Failed to process element: 0 key: zz of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: zz"
        ),
    ),
    (
        "a missing name",
        [{"a": 1}],
        TWO,
        (
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} keys must be equal to: "
            "a,b"
        ),
    ),
    (
        "a named row of another type",
        [{"a": "s", "b": 1}],
        TWO,
        (
            "Failed to process element: 0 key: a of 'instances' list. "
            'Error: INVALID_ARGUMENT: JSON Value: "s" Type: String is not of expected type: float'
        ),
    ),
]


@pytest.mark.parametrize(("rows", "wanted", "text"), [c[1:] for c in REFUSED_ROWS], ids=[c[0] for c in REFUSED_ROWS])
def test_rows_are_refused_with_the_reason(rows, wanted, text):
    assert refusal({"instances": rows}, wanted) == text


REFUSED_COLUMNS = [
    (
        "a bare value for two inputs",
        1,
        TWO,
        (
            "inputs is a plain value/list, but expecting an object as multiple input "
            "tensors required as per tensorinfo_map"
        ),
    ),
    ("a missing input", {"a": 1}, TWO, "Missing named input: b in 'inputs' object."),
    ("lists of two sizes", [[1, 2], [3]], ONE, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    ("deeper than the first", [1, [2]], ONE, "Encountered list at unexpected level: 1 expected < 1"),
    (
        "flatter than the first",
        [[1], 2],
        ONE,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    ("the first wrong thing counts", [["s"], 2], ONE, 'JSON Value: "s" Type: String is not of expected type: float'),
]


@pytest.mark.parametrize(
    ("value", "wanted", "text"), [c[1:] for c in REFUSED_COLUMNS], ids=[c[0] for c in REFUSED_COLUMNS]
)
def test_columns_are_refused_with_the_reason(value, wanted, text):
    assert refusal({"inputs": value}, wanted) == text


def test_a_list_deeper_than_any_tensor_is_refused():
    value = 1
    for _ in range(40):
        value = [value]
    assert "rank 32" in refusal({"inputs": value})


def test_base64_that_is_none_is_refused():
    strings = specs(s="STRING")
    assert refusal({"inputs": [{"b64": "***"}]}, strings) == "Unable to base64 decode"
    assert refusal({"inputs": [{"b64": "YQ="}]}, strings) == "Unable to base64 decode"
    assert refusal({"inputs": [{"b64": "", "k": 1}]}, strings).endswith("not formatted correctly for base64 data")
    assert refusal({"inputs": [{"b64": 1}]}, strings).endswith("not formatted correctly for base64 data")


@pytest.mark.parametrize(
    ("spelt", "at"),
    [("\\ud800", 6), ("a\\udc00", 7), ("\\ud800x\\udc00", 6), ("\\ud83d\\ude00\\ud83d", 18), ("\\\\\\ud800", 8)],
)
def test_half_a_character_is_no_text_wherever_it_stands(spelt, at):
    with pytest.raises(BadJson) as caught:
        parse_body(f'{{"k":"{spelt}","inputs":[1]}}'.encode())
    assert caught.value.sentence == f"JSON Parse error: The surrogate pair in string is invalid. at offset: {at}"


def test_pairs_and_spelt_backslashes_are_text():
    assert parse_body(b'{"k": "\\ud83d\\ude00", "l": "\\\\ud800"}') == {"k": "\U0001f600", "l": "\\ud800"}


@pytest.mark.parametrize("tail", [b"", b"]", b" " + b"[" * 5000])  # the last two go to the exact reader
def test_of_a_name_that_comes_twice_the_first_member_counts(tail):
    body = b'{"inputs": {"x": [1], "x": [2]}, "n": 1, "inputs": [3], "z": 1' + (b', "d": ' + tail if tail else b"}")
    if tail:
        with pytest.raises(BadJson):
            parse_body(body)
    else:
        assert parse_body(body) == {"inputs": {"x": [1]}, "n": 1, "z": 1}
    assert parse_body(b'{"a": 1, "a": [Inf], "b": 2, "b": 3}') == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("body", "is_read"),
    [(b'{"inputs":[1],"inputs":[2]}', False), (b'{"inputs":{"x":1,"x":2}}', False), (b'{"inputs":{"x":"x"}}', False),
     (b'{"instances":[{"x":1},{"x":2,"x":3}]}', False), (b'{"\\u0069nputs":[1],"inputs":[2]}', False),
     (b'{"k":"\\"","inputs":[1],"inputs":[2]}', False), (b'{"instances":[{"x":1},{"x":2}]}', True),
     (b'{"inputs":["a\\n\\"b\\"","\\ud83d\\ude00","\\\\"]}', True)],
)  # fmt: skip
def test_the_quick_parser_leaves_repeated_names_to_the_exact_one(body, is_read):
    assert (quick_body(body) is not None) == is_read


def test_a_word_that_is_nearly_infinity_is_refused():
    with pytest.raises(BadJson, match="Invalid value"):
        parse_body(b'{"inputs": [Infinit]}')


@pytest.mark.parametrize(
    ("rows", "text"),
    [([{"x": "a"}, {"z": 1}], "element: 0 key: x of"), (["a", {"x": 1}], "element: 0 of"),
     ([1.0, {"x": 1}, "a"], "Expecting value/list but got object at item 1"),
     ([{"x": [1.0]}, {"x": 2.0}, {"z": 1}], "element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: E"),
     ([{"x": 1.0}, [2.0], {"x": "a"}], "Expecting object but got list at item 1")],
)  # fmt: skip
def test_the_first_row_that_is_wrong_is_named(rows, text):
    assert text in refusal({"instances": rows})


def test_a_type_without_json_form_is_a_bad_row_and_an_unsupported_column():
    halves = specs(h="HALF")
    assert (
        "element: 0 of 'instances' list. Error: UNIMPLEMENTED: Conversion of JSON Value: 1.0 to type: half"
        in refusal({"instances": [1.0]}, halves)
    )
    with pytest.raises(UnsupportedType):
        arrays_of({"inputs": [1.0]}, halves)


def test_a_lone_b64_object_is_a_value_and_no_list_of_columns():
    assert "inputs is a plain value/list" in refusal({"inputs": {"b64": "YQ=="}}, specs(a="STRING", b="STRING"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2.0"), (0.1, "0.1"), (123456789.0, "123456792.0"), (1e20, "1e+20"), (1e300, "1e+300"), (-0.0, "-0.0"),
     (0.1 + 1e40, "1e+40"), (float("nan"), "NaN"), (float("-inf"), "-Infinity")],
)  # fmt: skip
def test_a_lone_number_is_repeated_as_answers_spell_it(value, text):
    assert shown(value) == text


def test_base64_may_lack_padding_and_hold_blanks():
    values = [{"b64": "YQ"}, {"b64": "Y\nQ = ="}, {"b64": ""}]
    assert arrays_of({"inputs": values}, specs(s="STRING"))["s"].tolist() == [b"a", b"a", b""]


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"", "The document is empty"), (b"  \n\t", "The document is empty. at offset: 4"),
     (b"\x00", "The document is empty. at offset: 0"), (b"instances = [1, 2]", "Invalid value. at offset: 0"),
     (b'{"a": }', "Invalid value. at offset: 6"), (b"[1,", "Invalid value. at offset: 3"),
     (b"[1,]", "Invalid value. at offset: 3"), (b'{"a": nul}', "Invalid value. at offset: 9"),
     (b"[-]", "Invalid value. at offset: 2"),
     (b"{", "Missing a name for object member. at offset: 1"),
     (b'{"a": 1,}', "Missing a name for object member. at offset: 8"),
     (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
     (b'{"a": 01x}', "Missing a comma or } after an object member. at offset: 7"),
     ('{"ä": [1 2]}'.encode(), "Missing a comma or ] after an array element. at offset: 10"),
     (b'{"a', "Missing a closing quotation mark in string. at offset: 3"),
     (b'["\\q"]', "Invalid escape character in string. at offset: 2"),
     (b'["\\u12x"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
     (b'["\n"]', "Invalid encoding in string. at offset: 2"),
     (b"[1.]", "Miss fraction part in number. at offset: 3"), (b"[1e+]", "Miss exponent in number. at offset: 4")],
)  # fmt: skip
def test_what_is_no_json_is_refused_in_rapidjsons_words(body, text):
    with pytest.raises(BadJson) as caught:
        parse_body(body)
    assert caught.value.sentence == f"JSON Parse error: {text}"


def test_a_large_body_that_is_no_json_is_not_read_twice():
    body = b'{"a": "' + b"x" * (3 * 1024 * 1024) + b'", "b" 1}'
    with pytest.raises(BadJson, match=r"^JSON Parse error: Missing a colon after a name of object member\. at offset"):
        parse_body(body)


def test_numbers_that_are_none_have_short_names_too():
    assert parse_body(b'{"inputs": [Inf, -Inf, -Infinity]}')["inputs"] == [np.inf, -np.inf, -np.inf]


def test_a_byte_order_mark_is_skipped():
    assert parse_body(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("body", [b"\xff{}", b'{"a": "\xc3\x28"}'])
def test_what_is_no_utf8_is_refused(body):
    with pytest.raises(BadJson, match="Invalid encoding"):
        parse_body(body)


@pytest.mark.parametrize(("body", "value"), [(b"[1]", "[1]"), (b"1", "1"), (b'"a"', '"a"'), (b"null", "null")])
def test_a_body_is_an_object(body, value):
    with pytest.raises(BadJson) as caught:
        parse_body(body)
    assert caught.value.sentence == f"JSON Value: {value} Is not object"


def test_text_after_the_value_is_ignored():
    assert parse_body(b' {"instances": [2.0]} trailing') == {"instances": [2.0]}


def test_sv_12_nesting_without_end_is_read():
    deep = b'{"instances": [1.0], "nested": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert parse_body(deep)["instances"] == [1.0]


def test_sv_12_nesting_without_end_is_refused_where_it_is_too_large_or_no_tensor():
    with pytest.raises(BadJson, match="JSON Parse error"):
        parse_body(b"[" * (3 * 1024 * 1024))
    with pytest.raises(BadJson, match="JSON Parse error"):
        parse_body(b"[" * 500_000)
    assert "rank 32" in refusal(parse_body(b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}"))
    objects = parse_body(b'{"inputs": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}")
    assert "Missing named input: x" in refusal(objects)
    assert len(shown(objects)) == 256


def test_sv_12_an_error_text_repeats_little_of_the_body():
    assert len(refusal({"instances": {"k": ["x" * 1000] * 1000}})) < 400


def test_the_signature_name_is_text():
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "s"}) == "s"
    with pytest.raises(BadJson) as caught:
        signature_name({"signature_name": 100})
    assert caught.value.sentence == (
        'JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
        "'signature_name' key must be a string value."
    )


def test_large_bodies_are_read_right():
    rows = np.arange(3000, dtype=np.float32).reshape(10, 300)
    array = array_of(json.loads(json.dumps(rows.tolist())), DataType.DT_FLOAT)
    assert np.array_equal(array, rows)
