"""Compare what a server answered with what a case wants: a list of differences, empty where it is right.

Every function here can say no; a check that it does not know is a difference, so that no case passes unlooked at.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format

SHOWN = 300
_REST_CHECKS = {
    "json", "json_file_unordered", "error_equals", "error_contains", "raw_regex", "header", "any_body",
}  # fmt: skip
_GRPC_CHECKS = {
    "response", "typed_field", "details_equals", "details_contains", "details_regex", "details_length", "any_type_url",
    "metric", "then", "code_only",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What came back over HTTP; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON, a marker where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return f"<not JSON: {short(self.body)}>"

    def same_as(self, other: RestAnswer) -> bool:
        """Return whether two fronts answered alike."""
        return (self.status, self.body) == (other.status, other.body)


@dataclass(frozen=True, slots=True)
class GrpcAnswer:
    """What came back over gRPC: the name of the code, the details, and the message for OK."""

    code: str
    details: str
    message: Any = None

    def same_as(self, other: GrpcAnswer) -> bool:
        """Return whether two fronts answered alike: byte for byte, the order of map entries aside."""
        return (self.code, self.details, _bytes_of(self.message)) == (
            other.code, other.details, _bytes_of(other.message),
        )  # fmt: skip


def _bytes_of(message: Any) -> bytes:
    return b"" if message is None else bytes(message.SerializeToString(deterministic=True))


def rest_differences(told: Mapping[str, Any], answer: RestAnswer, testdata: Path) -> list[str]:
    """Return what is wrong with the answer to a REST case."""
    expect = told.get("expect", {})
    found = [f"the check {name!r} is not known" for name in sorted(expect.keys() - _REST_CHECKS)]
    if not expect:
        found.append("the case expects nothing")
    if answer.status != told["status"]:
        found.append(f"status {answer.status}, wanted {told['status']}; body {short(answer.body)}")
    if "json" in expect and not same_json(answer.json(), expect["json"]):
        found.append(f"body {short(answer.body)}, wanted {short(expect['json'])}")
    if "json_file_unordered" in expect:
        wanted = json.loads((testdata / expect["json_file_unordered"]).read_text(encoding="utf-8"))
        if not same_json(answer.json(), wanted):
            found.append(f"body {short(answer.body)} is not {expect['json_file_unordered']}")
    found += _error_differences(expect, answer.json())
    if "raw_regex" in expect and not re.search(expect["raw_regex"], answer.body.decode("utf-8", "replace")):
        found.append(f"body {short(answer.body)} does not match {expect['raw_regex']!r}")
    for name, value in expect.get("header", {}).items():
        if answer.headers.get(name.lower()) != value:
            found.append(f"header {name}: {answer.headers.get(name.lower())!r}, wanted {value!r}")
    return found


def _error_differences(expect: Mapping[str, Any], body: Any) -> list[str]:
    error = body.get("error") if isinstance(body, dict) else None
    found = []
    if "error_equals" in expect and error != expect["error_equals"]:
        found.append(f"error {error!r}, wanted {expect['error_equals']!r}")
    if "error_contains" in expect and expect["error_contains"] not in str(error or ""):
        found.append(f"error {error!r}, wanted something with {expect['error_contains']!r}")
    return found


def grpc_differences(told: Mapping[str, Any], answer: GrpcAnswer) -> list[str]:
    """Return what is wrong with the answer to a gRPC case."""
    check = told.get("check", {})
    found = [f"the check {name!r} is not known" for name in sorted(check.keys() - _GRPC_CHECKS)]
    if not check:
        found.append("the case checks nothing")
    if answer.code != told["code"]:
        found.append(f"code {answer.code} ({answer.details[:SHOWN]}), wanted {told['code']}")
    return found + _details_differences(check, answer.details) + _message_differences(check, answer.message)


def _details_differences(check: Mapping[str, Any], details: str) -> list[str]:
    wrong: dict[str, Callable[[Any], bool]] = {
        "details_equals": lambda wanted: details != wanted,
        "details_contains": lambda wanted: wanted not in details,
        "details_regex": lambda wanted: re.search(wanted, details) is None,
        "details_length": lambda wanted: len(details) != wanted,
    }
    return [
        f"details {details[:SHOWN]!r} ({len(details)} characters), wanted {name} {check[name]!r}"
        for name, is_wrong in wrong.items()
        if name in check and is_wrong(check[name])
    ]


def _message_differences(check: Mapping[str, Any], message: Any) -> list[str]:
    looks = {"response", "typed_field", "any_type_url", "metric"} & check.keys()
    if looks and message is None:
        return ["there is no message to look at"]
    found = []
    if "response" in check and not contains(as_json(message), check["response"]):
        found.append(f"answer {short(as_json(message))}, wanted {short(check['response'])} in it")
    if "typed_field" in check:
        tensors = list(message.outputs.values())
        field = snake(check["typed_field"])
        if not tensors or any(tensor.tensor_content or not getattr(tensor, field) for tensor in tensors):
            found.append(f"the values are not in {field}")
    for path, url in check.get("any_type_url", {}).items():
        field, _, key = path.partition(".")
        held = getattr(message, snake(field))
        seen = held[key].type_url if key in held else None
        if seen != url:
            found.append(f"{path} is of type {seen!r}, wanted {url!r}")
    if "metric" in check:
        wanted = check["metric"]
        if not any(each.name == wanted["name"] and _has(each, snake(wanted["has"])) for each in message.metric):
            found.append(f"no metric {wanted['name']} with {wanted['has']}: {short(as_json(message))}")
    return found


def _has(message: Any, field: str) -> bool:
    described = message.DESCRIPTOR.fields_by_name.get(field)
    return described is not None and (not described.has_presence or message.HasField(field))


def as_json(message: Any) -> Any:
    """Return proto JSON of an answer, defaults written; an Any in it is looked at by its type_url alone."""
    if "metadata" in message.DESCRIPTOR.fields_by_name:
        message = type(message)(model_spec=message.model_spec)
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def snake(name: str) -> str:
    """Return a field's name in snake_case."""
    return re.sub(r"(?<!^)([A-Z])", lambda match: "_" + match[1].lower(), name)


def contains(whole: Any, part: Any) -> bool:
    """Return whether proto JSON `whole` has all of `part`; names in either style, unset defaults may be missing."""
    if isinstance(part, dict):
        if whole is None:
            return not any(part.values())
        if not isinstance(whole, dict):
            return False
        named = {_plain(key): value for key, value in whole.items()}
        return all(contains(named.get(_plain(key)), value) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole or [], list) and len(whole or []) == len(part) and all(map(contains, whole or [], part))
    if isinstance(whole, dict) and set(whole) == {"value"}:
        whole = whole["value"]  # a wrapper
    return (whole is None and not part) or same_scalar(whole, part)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def same_scalar(seen: Any, wanted: Any) -> bool:
    """Return whether two values of proto JSON are one: an int64 may be a string, floats compare as float32."""
    if isinstance(seen, bool) or isinstance(wanted, bool):
        return seen is wanted
    if isinstance(seen, int | float) and isinstance(wanted, int | float):
        return same_json(seen, wanted)
    if isinstance(seen, str | int) and isinstance(wanted, str | int):
        return str(seen) == str(wanted)
    return bool(seen == wanted)


def same_json(seen: Any, wanted: Any) -> bool:
    """Return whether two JSON values are equal, their numbers as float32."""
    if isinstance(wanted, dict):
        return isinstance(seen, dict) and seen.keys() == wanted.keys() and all(
            same_json(seen[key], wanted[key]) for key in wanted
        )  # fmt: skip
    if isinstance(wanted, list):
        return isinstance(seen, list) and len(seen) == len(wanted) and all(map(same_json, seen, wanted))
    if isinstance(seen, bool) or isinstance(wanted, bool) or not isinstance(wanted, int | float):
        return type(seen) is type(wanted) and bool(seen == wanted)
    if not isinstance(seen, int | float):
        return False
    first, second = _single(seen), _single(wanted)
    return first == second or (math.isnan(first) and math.isnan(second))


def _single(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return math.copysign(math.inf, number)


def short(value: Any) -> str:
    """Return a value as a line of a report."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else json.dumps(value, default=str)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
