"""servables.yaml: which models a front answers for, and from where. Pure.

The tags of the file are data: two of them are known, and nothing is ever made of a third. Source: spec
`cluster-serving.md` section 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from strongroom.clusterserving.names import DEFAULT_JOB, Job
from strongroom.errors import BadInput

MAX_FILE_BYTES: Final = 256 * 1024
MAX_SERVABLES: Final = 256
MAX_EVENTS: Final = 20_000
HIDDEN: Final = "*******"
_DIGITS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_QUEUE: Final = "ClusterServingMetaData"
_MODEL: Final = "InferenceModelMetaData"
_SECRETS: Final = ("redisTrustStoreToken", "redissTrustStoreToken", "password", "token", "secret")
_KEYS: Final = {
    _QUEUE: {
        "modelName", "modelVersion", "redisHost", "redisPort", "redisInputQueue", "redisOutputQueue", "timeWindow",
        "countWindow", "tokenBucketEnabled", "tokensPerSecond", "redisSecureEnabled", "redisTrustStorePath",
        "redisTrustStoreToken", "inputCompileType", "features",
    },
    _MODEL: {
        "modelName", "modelVersion", "modelPath", "modelType", "features", "weightPath", "modelConCurrentNum",
        "inputCompileType",
    },
}  # fmt: skip


class BadServables(BadInput):
    """The list of models (servableManagerConfPath) cannot be used as it is."""

    code = "SR-QUEUE-SERVABLES"
    fix = "docs/queue-frontend.md shows the file: modelMetaDataList with !<ClusterServingMetaData> entries."


@dataclass(frozen=True, slots=True, kw_only=True)
class Servable:
    """One model version of a front: by a queue (`job`), or by the model server where `job` is None.

    `tokens_per_second` None: no bucket. `metadata` is what GET /models shows, secrets left out.
    """

    name: str
    version: str
    job: Job | None
    host: str | None = None
    port: int | None = None
    secure: bool | None = None
    trust_store: str | None = None
    tokens_per_second: int | None = None
    features: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_servables(text: bytes) -> tuple[Servable, ...]:
    """Return the models of a file, in its order; the first is that of `/predict`. Raises BadServables."""
    document = _load(text)
    match document:
        case {"modelMetaDataList": list() as entries} if 1 <= len(entries) <= MAX_SERVABLES and len(document) == 1:
            found = tuple(_servable(each, f"modelMetaDataList[{at}]") for at, each in enumerate(entries))
        case _:
            raise BadServables(f"the file holds no modelMetaDataList of 1 to {MAX_SERVABLES} models, and nothing else")
    keys = [(each.name, each.version) for each in found]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise BadServables(f"model {twice[0]!r} version {twice[1]!r} is there twice")
    return found


def queue_servable(job: Job) -> Servable:
    """Return the one model of a front without a file: the queue of its configuration."""
    metadata = {"modelName": job.name, "modelVersion": "1.0", "redisInputQueue": job.stream,
                "redisOutputQueue": job.result_prefix}  # fmt: skip
    return Servable(name=job.name, version="1.0", job=job, metadata=metadata)


def model_servable(name: str, version: int | None) -> Servable:
    """Return the one model of a front without a file: a model server's."""
    shown = "" if version is None else str(version)
    return Servable(name=name, version=shown, job=None, metadata={"modelName": name, "modelVersion": shown})


@dataclass(frozen=True, slots=True)
class _Tagged:
    kind: str
    fields: Mapping[str, Any]


class _Loader(yaml.BaseLoader):
    """Text alone, and the two tags as what they are: a version 1.0 stays what was written."""


def _tagged(kind: str) -> Any:  # noqa: ANN401  # PyYAML's constructors have no type
    def construct(loader: _Loader, node: yaml.Node) -> _Tagged:
        if not isinstance(node, yaml.MappingNode):
            raise BadServables(f"a {kind} holds keys and values")
        keys = [str(key.value) for key, _ in node.value]
        if len(set(keys)) != len(keys):
            raise BadServables(f"a {kind} has a key twice")
        return _Tagged(kind, {str(key): each for key, each in loader.construct_mapping(node, deep=True).items()})

    return construct


for _kind in (_QUEUE, _MODEL):
    _Loader.add_constructor(_kind, _tagged(_kind))
    _Loader.add_constructor(f"!{_kind}", _tagged(_kind))


def _load(text: bytes) -> Any:  # noqa: ANN401  # YAML
    if len(text) > MAX_FILE_BYTES:
        raise BadServables(f"the file is longer than {MAX_FILE_BYTES} bytes")
    try:
        _check_events(yaml.parse(text.decode("utf-8"), Loader=yaml.BaseLoader))
        return yaml.load(text.decode("utf-8"), Loader=_Loader)  # noqa: S506  # makes text alone
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise BadServables(f"the file is not YAML of ours: {str(problem).splitlines()[0][:200]}") from None


def _check_events(events: Iterable[yaml.Event]) -> None:
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or count > MAX_EVENTS or depth > 8:
            raise BadServables("the file is deeper or longer than a list of models, or has references")


def _servable(entry: object, where: str) -> Servable:
    if not isinstance(entry, _Tagged):
        raise BadServables(f"{where} has neither the tag !<{_QUEUE}> nor !<{_MODEL}>")
    fields = entry.fields
    unknown = [str(each)[:40] for each in fields if each not in _KEYS[entry.kind]]
    if unknown:
        raise BadServables(f"{where} has the unknown key {unknown[0]!r}")
    features = fields.get("features") or []
    texts = [value for key, value in fields.items() if key != "features"]
    if not isinstance(features, list) or not all(isinstance(each, str) for each in (*texts, *features)):
        raise BadServables(f"{where}: features are a list of texts, and every other key has one text")
    if any(not each.isprintable() for each in (*texts, *features)):
        raise BadServables(f"{where} has characters that cannot be printed")
    if fields.get("redisTrustStoreToken"):
        raise BadServables(
            f"{where}.redisTrustStoreToken: passwords do not stand in this file",
            fix="Give the front a configuration (-c) with redisTrustStorePasswordFile or redisCaFile.",
        )
    name, version = _text(fields, "modelName", where), _text(fields, "modelVersion", where)
    if any("/" in each or len(each) > 256 for each in (name, version)):
        raise BadServables(f"{where}: a name or version with a slash, or longer than 256, has no address")
    metadata = {key: HIDDEN if key in _SECRETS else value for key, value in fields.items()}
    common: dict[str, Any] = {
        "name": name, "version": version, "metadata": metadata, "features": tuple(features),
    }  # fmt: skip
    if entry.kind == _MODEL:
        return Servable(job=None, **common)
    return Servable(**common, **_queue(fields, where))


def _queue(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    job = Job(str(fields.get("redisInputQueue") or DEFAULT_JOB))
    expected = fields.get("redisOutputQueue")
    if expected and expected != job.result_prefix:
        raise BadServables(f"{where}.redisOutputQueue: workers of {job.name} write to {job.result_prefix!r}")
    return {
        "job": job,
        "host": str(fields["redisHost"]) if fields.get("redisHost") else None,
        "port": _whole(fields, "redisPort", where, 65_535),
        "secure": _switch(fields, "redisSecureEnabled", where),
        "trust_store": str(fields["redisTrustStorePath"]) if fields.get("redisTrustStorePath") else None,
        "tokens_per_second": (
            (_whole(fields, "tokensPerSecond", where, 100_000) or 100)
            if _switch(fields, "tokenBucketEnabled", where)
            else None
        ),
    }


def _text(fields: Mapping[str, Any], key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise BadServables(f"{where}.{key} is missing, or no text")
    return value


def _whole(fields: Mapping[str, Any], key: str, where: str, most: int) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not _DIGITS.fullmatch(value) or not 1 <= int(value) <= most:
        raise BadServables(f"{where}.{key} is no number from 1 to {most}")
    return int(value)


def _switch(fields: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = fields.get(key)
    if value is None:
        return None
    if str(value).lower() in {"true", "false"}:
        return str(value).lower() == "true"
    raise BadServables(f"{where}.{key} is neither true nor false")
