"""A model server's configuration, from text files or a reload request, as values that have been checked. Pure.

Texts of refusals are TensorFlow Serving's, which its users know. Source: spec `model-server.md` sections 3 (table of
HandleReloadConfigRequest), 6 and 7; the text format is the protobuf runtime's own reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from google.protobuf import text_format

from strongroom.errors import BadInput
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import ConfigProto, ModelServerConfig

MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
MAX_MODELS: Final = 1000
MAX_NAME_CHARACTERS: Final = 255
MAX_CHOSEN: Final = 1000  # versions or labels of one model
PLATFORMS: Final = ("tensorflow", "onnx", "openvino")
_TENSORFLOW_TYPE: Final = 1  # ModelType, deprecated


class BadConfigText(BadInput):
    """A configuration file is not the text-format message that it should be."""

    code = "SR-CONFIG-TEXT"
    fix = "Correct the file: protobuf text format, with the fields of TensorFlow Serving's message and no others."


class ConfigRefused(BadInput):
    """A model configuration contradicts itself, or asks for what is not served here."""

    code = "SR-CONFIG"
    fix = "Correct the named model's entry; nothing of the configuration was applied."


class ConfigConflict(BadInput):
    """A model configuration cannot follow the one that is in force."""

    code = "SR-CONFIG-CONFLICT"
    fix = "Ask for the models' status; label a version once it is AVAILABLE, or start with --labels_when_available."


@dataclass(frozen=True, slots=True)
class Latest:
    """The highest versions are served."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class AllVersions:
    """Every version is served."""


@dataclass(frozen=True, slots=True)
class Specific:
    """The named versions are served, as far as they are there."""

    versions: frozenset[int]


Policy = Latest | AllVersions | Specific


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of a configuration. `base_path` is an absolute path."""

    name: str
    base_path: str
    platform: str = "tensorflow"
    policy: Policy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The models of a server, in the order given, and what is odd about them."""

    models: tuple[ModelEntry, ...]
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> ModelEntry:
        return next(entry for entry in self.models if entry.name == name)

    def __contains__(self, name: str) -> bool:
        return any(entry.name == name for entry in self.models)


@dataclass(frozen=True, slots=True)
class SessionThreads:
    """What a ConfigProto says about threads; 0 leaves it to the engine."""

    intra_op: int
    inter_op: int


def parse_text(message_class: Any, data: bytes, *, file: str) -> ProtoMessage:  # noqa: ANN401  # a class of `messages`
    """Return a text-format file as a message. Raises BadConfigText with TensorFlow Serving's two lines."""
    name = message_class.DESCRIPTOR.full_name
    if len(data) > MAX_CONFIG_BYTES:
        raise _bad_text(name, file, f"{len(data)} bytes, at most {MAX_CONFIG_BYTES} are read")
    message = message_class()
    try:
        text_format.Parse(data.decode("utf-8"), message)
    except (text_format.ParseError, ValueError, RecursionError) as problem:
        raise _bad_text(name, file, " ".join(str(problem).split())[:200]) from None
    return message


def _bad_text(name: str, file: str, reason: str) -> BadConfigText:
    return BadConfigText(f"Error parsing text-format {name}: {reason}\nInvalid protobuf file: '{file}'")


def parse_server_config(data: bytes, *, file: str, first: bool = False) -> ServerConfig:
    """Return a --model_config_file. Raises BadConfigText, ConfigRefused or ConfigConflict.

    An empty file may be the `first` configuration: no models. Later it is refused: perhaps it is being written.
    """
    message = parse_text(ModelServerConfig, data, file=file)
    kind = message.WhichOneof("config")
    if kind == "model_config_list":
        return server_config_of(message)
    if not first:
        raise ConfigConflict(
            "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
        )
    if kind is not None:
        raise ConfigRefused("Missing custom_model_config_loader in ServerCore Options")
    return ServerConfig(models=(), warnings=(f"{file} is empty: nothing is served until it names models",))


def parse_session_config(data: bytes, *, file: str) -> SessionThreads:
    """Return a --tensorflow_session_config_file's threads. Raises BadConfigText or ConfigRefused."""
    message = parse_text(ConfigProto, data, file=file)
    threads = SessionThreads(message.intra_op_parallelism_threads, message.inter_op_parallelism_threads)
    if not all(0 <= count <= 1024 for count in (threads.intra_op, threads.inter_op)):
        raise ConfigRefused(f"{file} asks for {threads.intra_op} and {threads.inter_op} threads, wanted 0 to 1024")
    return threads


def server_config_of(message: ProtoMessage) -> ServerConfig:
    """Return a ModelServerConfig's models. Raises ConfigRefused."""
    if message.WhichOneof("config") != "model_config_list":
        raise ConfigRefused(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    rows = message.model_config_list.config
    if len(rows) > MAX_MODELS:
        raise ConfigRefused(f"{len(rows)} models are configured, at most {MAX_MODELS} are served")
    _check_all(rows, _check_name)
    _check_unique(row.name for row in rows)
    _check_all(rows, _check_path)
    return ServerConfig(models=tuple(map(_entry, rows)), warnings=tuple(_warnings(rows)))


def check_transition(old: ServerConfig, new: ServerConfig) -> None:
    """Raise ConfigRefused where a model that is served would change its platform."""
    for entry in new.models:
        if entry.name in old and old[entry.name].platform != entry.platform:
            raise ConfigRefused(
                f"Illegal to change a model's platform. For model {entry.name} platform was "
                f"{old[entry.name].platform} and new platform requested is {entry.platform}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRules:
    """When a label may name a version: as TensorFlow Serving has it, by its flag, or when the version is AVAILABLE."""

    for_unavailable: bool = False
    when_available: bool = False


def check_labels(
    new: ServerConfig, *, old: ServerConfig | None, rules: LabelRules, available: Callable[[str, int], bool]
) -> None:
    """Raise ConfigConflict for a label that may not name its version now.

    `available` tells whether a version of a model can answer. A label that names a version already stays as it is.
    """
    if rules.when_available:
        return
    for entry in new.models:
        held = old[entry.name].labels if old is not None and entry.name in old else {}
        for label, version in entry.labels.items():
            is_new = label not in held
            if held.get(label) == version or (rules.for_unavailable and is_new) or available(entry.name, version):
                continue
            raise ConfigConflict(
                f"Request to assign label to version {version} of model {entry.name}, "
                "which is not currently available for inference"
            )


def _check_all(rows: Iterable[ProtoMessage], check: Callable[[ProtoMessage], None]) -> None:
    for row in rows:
        check(row)


def _check_name(row: ProtoMessage) -> None:
    if not row.name or len(row.name) > MAX_NAME_CHARACTERS:
        raise ConfigRefused(f"a model's name has {len(row.name)} characters, wanted 1 to {MAX_NAME_CHARACTERS}")


def _check_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigRefused(f"Illegal to list model {name} multiple times in config list")
        seen.add(name)


def _check_path(row: ProtoMessage) -> None:
    parts = _split(row.base_path)
    if parts is None or not (parts.scheme or row.base_path.startswith("/")) or "\0" in row.base_path:
        raise ConfigRefused(
            f"Expected model {row.name} to have an absolute path or URI; got base_path()={row.base_path[:400]}"
        )
    if parts.scheme not in {"", "file"} or (parts.scheme and parts.netloc not in {"", "localhost"}):
        raise ConfigRefused(
            f"model {row.name} lies at {row.base_path[:400]}; only absolute paths and file:/// are read",
            fix="Copy the model to a disk of this machine, and name the folder.",
        )


def _split(path: str) -> Any:  # noqa: ANN401  # SplitResult | None
    """Return a path that may be a URI (scheme://…), or None where it cannot be."""
    if "://" not in path:
        return urlsplit("")
    try:
        return urlsplit(path)
    except ValueError:
        return None


def _entry(row: ProtoMessage) -> ModelEntry:
    return ModelEntry(
        name=row.name,
        base_path=_local(row.base_path),
        platform=_platform(row),
        policy=_policy(row),
        labels=_labels(row),
    )


def _local(path: str) -> str:
    return unquote(urlsplit(path).path) if "://" in path else path


def _platform(row: ProtoMessage) -> str:
    if row.model_type and row.model_platform:
        raise ConfigRefused(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {row.name}"
        )
    if not row.model_type and not row.model_platform:
        raise ConfigRefused(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {row.name}"
        )
    platform = row.model_platform or ("tensorflow" if row.model_type == _TENSORFLOW_TYPE else "other")
    if platform not in PLATFORMS:
        raise ConfigRefused(
            f"Model {row.name} requests unsupported platform {platform[:80]}",
            fix=f"Platforms of this server: {', '.join(PLATFORMS)}.",
        )
    return str(platform)


def _policy(row: ProtoMessage) -> Policy:
    policy = row.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return AllVersions()
    if choice == "specific":
        if len(policy.specific.versions) > MAX_CHOSEN:
            raise ConfigRefused(f"model {row.name} names more than {MAX_CHOSEN} versions")
        return Specific(frozenset(policy.specific.versions))
    return Latest(max(policy.latest.num_versions, 1))


def _labels(row: ProtoMessage) -> Mapping[str, int]:
    if len(row.version_labels) > MAX_CHOSEN:
        raise ConfigRefused(f"model {row.name} has more than {MAX_CHOSEN} labels")
    return dict(sorted(row.version_labels.items()))


def _warnings(rows: Iterable[ProtoMessage]) -> Iterable[str]:
    for row in rows:
        if row.HasField("logging_config"):
            yield f"logging_config of model {row.name} has no effect: requests are not logged here"
        policy = row.model_version_policy
        if policy.WhichOneof("policy_choice") == "specific" and not policy.specific.versions:
            yield f"model {row.name} asks for specific versions and names none: nothing of it is served"
