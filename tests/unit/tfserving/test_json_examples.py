"""Classify and regress bodies: the Input that they mean, and every refusal with TensorFlow Serving's text."""

import math

import pytest

from strongroom.tfserving.examples import BadExamples, serialized_examples
from strongroom.tfserving.json_examples import input_of
from strongroom.tfserving.json_values import BadJson, parse_body
from strongroom.tfserving.messages import Example, Input


def features(example):
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = (kind, list(getattr(feature, kind).value)) if kind else None
    return found


def one(content):
    (example,) = input_of({"examples": [content]}).example_list.examples
    return features(example)


@pytest.mark.parametrize(
    ("text", "feature"),
    [(b"2.0", ("float_list", [2.0])), (b"[1.5, 2e0]", ("float_list", [1.5, 2.0])), (b"2", ("int64_list", [2])),
     (b"[true, 3, false]", ("int64_list", [1, 3, 0])), (b'"a"', ("bytes_list", [b"a"])),
     (b'["a", {"b64": "YQ=="}]', ("bytes_list", [b"a", b"a"])), (b"[]", None),
     (b"-9223372036854775808", ("int64_list", [-(2**63)])), (b"1e39", ("float_list", [math.inf])),
     (b"-18446744073709551616", ("float_list", [-(2.0**64)])), (b"36893488147419103232", ("float_list", [2.0**65])),
     (b"-Infinity", ("float_list", [-math.inf]))],
)  # fmt: skip
def test_a_feature_has_the_kind_of_its_elements(text, feature):
    assert one(parse_body(b'{"x": ' + text + b"}")) == {"x": feature}


def test_an_example_may_have_many_features_or_none():
    assert one({}) == {}
    assert one({"ä": ["ö"], "b": 1}) == {"ä": ("bytes_list", ["ö".encode()]), "b": ("int64_list", [1])}


def test_a_context_is_joined_to_each_example_which_overrides_it():
    given = input_of({"context": {"x": 2.0, "y": 1}, "examples": [{}, {"x": 4.0}]})
    assert given.WhichOneof("kind") == "example_list_with_context"
    joined = [features(Example.FromString(raw)) for raw in serialized_examples(given)]
    assert joined == [
        {"x": ("float_list", [2.0]), "y": ("int64_list", [1])},
        {"x": ("float_list", [4.0]), "y": ("int64_list", [1])},
    ]


BODY = 'JSON Value: {\n    "examples": %s\n} '


@pytest.mark.parametrize(
    ("body", "text"),
    [({}, "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
     ({"examples": 1}, BODY % "1" + "Expecting 'examples' value to be an list/array"),
     ({"examples": []}, BODY % "[]" + "'examples' value is an empty array"),
     ({"examples": [[1]]}, "Example must be JSON object but got JSON Array"),
     ({"examples": [None]}, "Example must be JSON object but got JSON Null"),
     ({"context": 1, "examples": [{}]}, "Example must be JSON object but got JSON Number"),
     ({"context": 1}, "Example must be JSON object but got JSON Number"),
     ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
     ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
     ({"examples": [{"x": {"b64": "", "k": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
     ({"examples": [{"x": [10, 10.5]}]}, "Unexpected element type in feature: x expecting type: int64"),
     ({"examples": [{"x": [10.5, 10]}]}, "Unexpected element type in feature: x expecting type: float"),
     ({"examples": [{"x": ["a", True]}]}, "Unexpected element type in feature: x expecting type: bytes"),
     ({"examples": [{"x": [1.5, 2**63]}]}, "Unexpected element type in feature: x expecting type: float"),
     ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
     ({"examples": [{"x": {"b64": "*"}}]}, "Unable to base64 decode"),
     ({"examples": [{"\ud800": 1}]}, "JSON Parse error: The surrogate pair in string is invalid.")],
)  # fmt: skip
def test_a_body_is_refused_with_the_reason(body, text):
    with pytest.raises(BadJson) as caught:
        input_of(body)
    assert caught.value.sentence == text


@pytest.mark.parametrize("kind", [None, "example_list", "example_list_with_context"])
def test_an_input_without_examples_is_refused(kind):
    given = Input()
    if kind:
        getattr(given, kind).SetInParent()
    with pytest.raises(BadExamples, match=r"^Input is empty\.$") as caught:
        serialized_examples(given)
    assert caught.value.code == "SR-EXAMPLES"
