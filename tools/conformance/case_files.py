"""Read a file of conformance cases, and turn a case into what is sent: bodies, messages, flags.

The form is that of the shared vectors (their README says what each field means); any other file of that form will do.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from strongroom.tfserving import messages

KINDS = ("rest", "grpc", "lifecycle")
SERVED_AS = {"G31": "half_plus_two"}  # said in the vectors' README, not in the case
_GENERATED = re.compile(r'<(\d+) x "([^"]*)" \+ (\d+) x "([^"]*)">')
_CHANGES_THE_SERVER = "HandleReloadConfigRequest"

MESSAGES = {
    "Predict": (messages.PredictRequest, messages.PredictResponse),
    "Classify": (messages.ClassificationRequest, messages.ClassificationResponse),
    "Regress": (messages.RegressionRequest, messages.RegressionResponse),
    "MultiInference": (messages.MultiInferenceRequest, messages.MultiInferenceResponse),
    "GetModelMetadata": (messages.GetModelMetadataRequest, messages.GetModelMetadataResponse),
    "GetModelStatus": (messages.GetModelStatusRequest, messages.GetModelStatusResponse),
    "HandleReloadConfigRequest": (messages.ReloadConfigRequest, messages.ReloadConfigResponse),
    "Check": (messages.HealthCheckRequest, messages.HealthCheckResponse),
}


class BadCases(ValueError):
    """The file cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Group:
    """What a server is started with: cases of one group share a server."""

    model: str
    flags: tuple[str, ...] = ()
    config: str = ""
    served_as: str = "default"
    alone: str = ""  # the case that has a server to itself, because it changes it

    def __str__(self) -> str:
        words = (self.model, *self.flags, "config" if self.config else "", self.alone)
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `told` is the case as it stands in the file, placeholders filled in by `filled`."""

    kind: str
    told: Mapping[str, Any]
    group: Group | None = None

    @property
    def id(self) -> str:
        return str(self.told["id"])

    @property
    def title(self) -> str:
        return str(self.told.get("title", ""))


@dataclass(frozen=True, slots=True)
class CaseFile:
    """The cases of a file, the models that they name, and the folder that holds these."""

    path: Path
    testdata: Path
    models: Mapping[str, Mapping[str, Any]]
    cases: tuple[Case, ...] = field(default_factory=tuple)

    def base_path(self, model: str) -> Path:
        """Return the folder of a model. Raises BadCases."""
        if model not in self.models:
            raise BadCases(f"{self.path.name} names the model {model!r} and does not say where it is")
        return self.testdata / str(self.models[model]["path"])

    def groups(self) -> dict[Group, list[Case]]:
        """Return the cases by the server that they need, in the order of the file; lifecycle cases have none."""
        found: dict[Group, list[Case]] = {}
        for case in self.cases:
            if case.group is not None:
                found.setdefault(case.group, []).append(case)
        return found

    def placeholders(self, socket_path: str) -> dict[str, str]:
        """Return what the placeholders stand for."""
        return {
            "<HP2>": str(self.base_path("hp2")) if "hp2" in self.models else "",
            "<HP3>": str(self.base_path("hp3")) if "hp3" in self.models else "",
            "<SOCKET>": socket_path,
            **{f"<BASE {model}>": str(self.base_path(model)) for model in self.models},
        }


def load(path: Path, testdata: Path | None = None, *, spare_testdata: Path | None = None) -> CaseFile:
    """Read a file of cases; its models lie under `testdata`, or beside it, or in the spare folder. Raises BadCases."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BadCases(f"{path}: {problem}") from None
    if not isinstance(told, dict) or not any(kind in told for kind in KINDS):
        raise BadCases(f"{path} has none of {', '.join(KINDS)}")
    beside = path.parent / "testdata"
    folder = testdata or (beside if beside.is_dir() else spare_testdata or beside)
    models = told.get("models", {})
    cases = [Case(kind, each, _group_of(kind, each, models)) for kind in KINDS for each in told.get(kind, [])]
    numbers = [case.id for case in cases]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise BadCases(f"{path} has several cases {', '.join(twice)}")
    return CaseFile(path=path, testdata=folder, models=models, cases=tuple(cases))


def _group_of(kind: str, told: Mapping[str, Any], models: Mapping[str, Any]) -> Group | None:
    if kind == "lifecycle":
        return None
    model = str(told["model"])
    flags = told.get("server_flags") or [word for word in str(told.get("needs", "")).split() if word.startswith("--")]
    served_as = told.get("served_as") or SERVED_AS.get(told["id"]) or models.get(model, {}).get("served_as", "default")
    reloads = _CHANGES_THE_SERVER in str(told.get("rpc", "")) and (told.get("code") == "OK" or "then" in told["check"])
    alone = told["id"] if reloads or told.get("alone") else ""
    return Group(model, tuple(flags), str(told.get("server_config", "")), str(served_as), alone)


def filled(value: Any, placeholders: Mapping[str, str]) -> Any:
    """Return JSON with its placeholders, repetitions and zeros written out."""
    if isinstance(value, dict):
        if set(value) == {"$repeat"}:
            return str(value["$repeat"][0]) * int(value["$repeat"][1])
        if set(value) == {"$zeros"}:
            return base64.b64encode(bytes(int(value["$zeros"]))).decode()
        return {filled(key, placeholders): filled(each, placeholders) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, placeholders) for each in value]
    if isinstance(value, str):
        for mark, text in placeholders.items():
            value = value.replace(mark, text)
    return value


def body_of(told: Mapping[str, Any], placeholders: Mapping[str, str]) -> bytes | None:
    """Return the body of a REST case as it is sent, None for no body."""
    body = filled(told.get("body"), placeholders)
    if body is None:
        return None
    text = body if isinstance(body, str) else json.dumps(body)
    if told.get("generated"):
        text = _GENERATED.sub(lambda m: m[2] * int(m[1]) + m[4] * int(m[3]), text)
    return gzip.compress(text.encode()) if told.get("gzip") else text.encode()


def request_of(told: Mapping[str, Any], placeholders: Mapping[str, str]) -> bytes:
    """Return the request message of a gRPC case; nothing for a method that nobody has. Raises BadCases."""
    kinds = MESSAGES.get(method_of(told))
    if kinds is None:
        return b""
    wanted = _wrapped(filled(told.get("request", {}), placeholders))
    try:
        return bytes(json_format.ParseDict(wanted, kinds[0]()).SerializeToString())
    except json_format.ParseError as problem:
        raise BadCases(f"{told['id']}: {problem}") from None


def method_of(told: Mapping[str, Any]) -> str:
    """Return the last word of a gRPC case's method."""
    return str(told["rpc"]).rpartition("/")[2]


def _wrapped(value: Any, key: str = "") -> Any:
    """Return proto JSON with a ModelSpec's version as our private Int64Value spells it."""
    if isinstance(value, dict):
        return {name: _wrapped(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_wrapped(each) for each in value]
    return {"value": value} if key == "version" else value
