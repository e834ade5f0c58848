"""config.yaml of Cluster Serving as a value: the original's keys and ours, the older nested form, and the warnings.

Pure. Published files hold keys that are indented as a whole, keys without a value, and comments alone: all are read.
An unknown key is a warning that names the nearest known one (with `strict: true` an error); one that is about security
always stops, and so do passwords in the file. Source: spec `cluster-serving.md` section 2; threats AN-16.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from strongroom.clusterserving.config_keys import BY_NAME, NESTED, OLDER_NAMES, Key, Kind, is_grave, nearest
from strongroom.clusterserving.names import DEFAULT_JOB, Job
from strongroom.errors import BadInput, Refused

MAX_CONFIG_BYTES: Final = 256 * 1024
MAX_CONFIG_NODES: Final = 2000
MAX_CONFIG_DEPTH: Final = 6
MAX_NUMBER: Final = 2**53
MIB: Final = 1024 * 1024
DEFAULT_PORT: Final = 6379
STREAM_SHARE: Final = 0.6  # of Redis' memory, for records that wait
_SIZE: Final = re.compile(r"([0-9]{1,15})\s*([kmgt]?)(i?b)?", re.ASCII | re.I)
_RESIZE: Final = re.compile(r"\s*([0-9]{1,5})\s*,\s*([0-9]{1,5})\s*", re.ASCII)
_LONG_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9a-fA-Fxo_:.]{64,}")  # YAML's base 60 takes the square of its length
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


class BadQueueConfig(BadInput):
    """The configuration of a queue (config.yaml) cannot be read, or a value in it cannot be."""

    code = "SR-QUEUE-CONFIG"
    fix = "docs/queue.md lists the keys and what they take."


class GraveQueueConfig(Refused):
    """A key of config.yaml that the security rests on is misspelt, unknown, or given in a form that gives it away."""

    code = "SR-QUEUE-CONFIG-SECURITY"
    fix = "Spell the key as docs/queue.md does; passwords go into files of their own (0600) that the key ...File names."


class QueueNotSupported(Refused):
    """config.yaml asks for something of the original that is not offered here."""

    code = "SR-QUEUE-NOT-SUPPORTED"
    fix = "Set queueUsed: redis and redisUrl."


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConfig:
    """What config.yaml says, defaults spelled out. Names end in the unit: `_ms`, `_us`, `_bytes`."""

    model_path: str | None = None
    job_name: str = DEFAULT_JOB
    post_processing: str = ""
    input_already_batched: bool = False
    image_resize: tuple[int, int] | None = None  # (height, width), in pixels
    core_number: int = -1
    model_parallelism: int = 1
    thread_per_model: int = 1
    flink_rest_url: str = "localhost:8081"
    redis_max_memory: int = 4 * 1024**3
    redis_timeout_ms: int = 5000
    redis_host: str = "localhost"
    redis_port: int = DEFAULT_PORT
    redis_tls: bool = False
    redis_unix: str | None = None
    redis_database: int = 0
    redis_user: str | None = None
    redis_password_file: str | None = None
    redis_ca_file: str | None = None
    redis_cert_file: str | None = None
    redis_key_file: str | None = None
    redis_trust_store: str | None = None
    redis_trust_store_password_file: str | None = None
    compat_user: str | None = None  # who the plaintext port for the original's client is to Redis
    compat_password_file: str | None = None
    compat_cert_file: str | None = None
    compat_key_file: str | None = None
    model_encrypted: bool = False
    record_encrypted: bool = False
    require_sealed: bool = False
    strict: bool = False
    runner: str = "process"
    consumer_name: str | None = None
    batch_size: int = 32
    batch_timeout_us: int = 0
    max_stream_length: int = 10_000
    max_stream_bytes: int = 256 * MIB
    max_record_bytes: int = 32 * MIB
    max_dead_letters: int = 1000
    result_ttl_ms: int = 3_600_000
    result_ttl_after_read_ms: int = 0
    default_deadline_ms: int = 0
    claim_idle_ms: int | None = None  # None: the larger of 5 s and three times the slowest batches
    max_deliveries: int = 3
    metrics_port: int = 0
    health_port: int = 0
    health_bind: str = "127.0.0.1"  # of both ports; 0.0.0.0 lets a kubelet and a scraper ask
    image_preprocess: Mapping[str, Any] = field(default_factory=dict)
    strict_names: bool = False
    labels_file: str | None = None
    hook_file: str | None = None
    hook_sha256: str | None = None
    model_name: str | None = None
    model_version: int | None = None
    engine: str = "auto"
    broker: str | None = None
    broker_ca_file: str | None = None
    tenant: str | None = None
    deployment: str | None = None
    owner_key_file: str | None = None
    queue_key: str | None = None  # the name of the secret at the broker; None: secret/queue-JOB
    queue_key_file: str | None = None  # the public half, for clients and fronts
    broker_wait_s: int = 60
    wait_for_key: bool = False
    key_lease_s: int = 0  # 0: as the broker says
    credentials_sealed: bool = False
    credentials_key: str | None = None  # the name at the broker of what opens them

    @property
    def job(self) -> Job:
        """The job. Raises BadJobName."""
        return Job(self.job_name)

    @classmethod
    def parse(cls, text: bytes) -> tuple[QueueConfig, tuple[str, ...]]:
        """Read config.yaml; return it and what is worth a warning.

        Raises BadQueueConfig, GraveQueueConfig, QueueNotSupported, BadJobName.
        """
        reading = _Reading()
        for name, value in _flat(_load(text), reading):
            reading.take(name, value)
        return reading.config(), tuple(reading.warnings)


def _load(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_CONFIG_BYTES:
        raise BadQueueConfig(f"config.yaml is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        decoded = text.decode("utf-8-sig")
        _within_limits(decoded)
        found = yaml.safe_load(decoded)
    except UnicodeDecodeError as problem:
        raise BadQueueConfig(f"config.yaml is not UTF-8 at byte {problem.start}") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise BadQueueConfig(f"config.yaml is not YAML{where}") from None
    if found is None:  # all comments: all defaults
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise BadQueueConfig("config.yaml is a list of keys with values, nothing else")
    return found


def _within_limits(text: str) -> None:
    """Refuse what makes a small file a large value, and keys that stand twice (YAML takes the last in silence)."""
    depth, seen = 0, set[str]()
    expects_key = False
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise BadQueueConfig("config.yaml has anchors or aliases, which are not read")
        if isinstance(event, yaml.ScalarEvent) and event.style is None and _LONG_NUMBER.fullmatch(event.value):
            raise BadQueueConfig("config.yaml has a number that is longer than any")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth == 1 and isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            expects_key = not expects_key
            if expects_key and isinstance(event, yaml.ScalarEvent):
                name = _canonical(event.value)
                if name in seen:
                    raise BadQueueConfig(f"config.yaml has the key {event.value[:64]!r} twice")
                seen.add(name)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if depth > MAX_CONFIG_DEPTH or count > MAX_CONFIG_NODES:
            raise BadQueueConfig("config.yaml is deeper or longer than any configuration")


def _canonical(name: str) -> str:
    return OLDER_NAMES.get(name.lower(), name).lower()


def _flat(tree: Mapping[str, Any], reading: _Reading) -> list[tuple[str, Any]]:
    """Return keys and values, those of the older nested form under their names of today."""
    found: list[tuple[str, Any]] = []
    nested = False
    for name, value in tree.items():
        group = NESTED.get(name)
        if group is None or not isinstance(value, dict | None):
            found.append((name, value))
            continue
        nested = True
        for inner, content in (value or {}).items():
            if inner in group:
                today = group[inner]
                found += [(today, content)] if today is not None else []
                if inner == "image_shape" and content is not None:
                    reading.warnings.append("data.image_shape resizes nothing; imageResize: height,width does")
            else:
                found.append((str(inner) if str(inner).lower() in BY_NAME else f"{name}.{inner}", content))
    if nested:
        reading.warnings.append("config.yaml has the older nested form; write modelPath, redisUrl and so on instead")
    return found


class _Reading:
    """What has been read so far: values by field, keys that nobody knows, and what to say about them."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._values: dict[str, Any] = {}
        self._unknown: list[str] = []

    def take(self, name: str, value: Any) -> None:  # noqa: ANN401  # whatever YAML gave
        key = BY_NAME.get(_canonical(name))
        if key is None:
            self._wonder(name)
        elif value is not None:  # a key without a value is its default
            if _canonical(name) != name.lower():
                self.warnings.append(f"{name} is an older name of {key.name}")
            if key.field in self._values:
                raise BadQueueConfig(f"config.yaml gives {key.name} twice")
            self._values[key.field] = _value(key, value)

    def _wonder(self, name: str) -> None:
        near = nearest(name)
        meant = f"; did you mean {near.name}?" if near is not None else ""
        if is_grave(name, near):
            raise GraveQueueConfig(f"{name[:64]!r} is no key of config.yaml and seems to be about security{meant}")
        self._unknown.append(f"{name[:64]!r} is no key of config.yaml{meant}")

    def config(self) -> QueueConfig:
        values = self._values
        if self._unknown and values.get("strict", False):
            raise BadQueueConfig("; ".join(self._unknown))
        self.warnings += [f"{each}; it has no effect" for each in self._unknown]
        _refuse(values)
        if values.pop("performance_mode", ""):
            self.warnings.append("performance_mode has no effect")
        values.pop("kafka_url", None)
        values.pop("queue_used", None)
        values |= _address(values)
        if "image_resize" in values:
            values["image_resize"] = _resize(values["image_resize"])
        _check(values)
        Job(values.get("job_name", DEFAULT_JOB))  # raises BadJobName
        return QueueConfig(**values)


def _refuse(values: Mapping[str, Any]) -> None:
    if str(values.get("queue_used", "redis")).lower() != "redis":
        raise QueueNotSupported(f"queueUsed: {values['queue_used'][:32]} is not supported")
    if values.get("redis_trust_store_password"):
        raise GraveQueueConfig("redisSecureTrustStorePassword stands in the file; name a file of its own instead",
                               fix="Put it into a file (0600) and set redisSecureTrustStorePasswordFile.")  # fmt: skip


def _value(key: Key, value: Any) -> Any:  # noqa: ANN401  # checked here
    if key.kind is Kind.ANYTHING:
        return str(value)
    if key.kind is Kind.SWITCH:
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            value = value.lower() == "true"
        good = isinstance(value, bool)
    elif key.kind is Kind.TREE:
        good = isinstance(value, dict) and all(isinstance(name, str) for name in value)
    elif key.kind is Kind.TEXT:
        good = isinstance(value, str | int | float) and not isinstance(value, bool)
        value = str(value).strip() if good else value
        good = good and "\0" not in value
    else:
        value = _number(value, with_unit=key.kind is Kind.BYTES)
        good = value is not None and key.least <= value <= MAX_NUMBER
    if not good:
        least = f" from {key.least} on" if key.kind in {Kind.NUMBER, Kind.BYTES} else ""
        raise BadQueueConfig(f"{key.name} is {key.kind.value}{least}")
    return value


def _number(value: object, *, with_unit: bool) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    if with_unit:
        found = _SIZE.fullmatch(value.strip())
        return int(found[1]) * _UNITS[found[2].lower()] if found else None
    return int(value) if re.fullmatch(r"-?[0-9]{1,15}", value.strip()) else None


def _resize(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = _RESIZE.fullmatch(text)
    if found is None or "0" in {found[1].lstrip("0") or "0", found[2].lstrip("0") or "0"}:
        raise BadQueueConfig("imageResize is height and width in pixels, such as 224,224")
    return int(found[1]), int(found[2])


def _check(values: Mapping[str, Any]) -> None:
    if values.get("runner", "process") not in {"process", "flink"}:
        raise BadQueueConfig("runner is process or flink")
    if bool(values.get("redis_cert_file")) != bool(values.get("redis_key_file")):
        raise GraveQueueConfig("redisCertFile and redisKeyFile go together")
    if values.get("redis_user") and not values.get("redis_password_file"):
        raise GraveQueueConfig("redisUser needs redisPasswordFile")
    if values.get("hook_file") and not values.get("hook_sha256"):
        raise GraveQueueConfig("hookFile needs hookSha256: only a program that was measured is run")
    defaults = QueueConfig()
    memory = values.get("redis_max_memory", defaults.redis_max_memory)
    if values.get("max_stream_bytes", defaults.max_stream_bytes) > memory * STREAM_SHARE:
        raise BadQueueConfig("maxStreamBytes is at most 60 % of redisMaxmemory: results need room too")
    for port in ("metrics_port", "health_port"):
        if values.get(port, 0) > 65535:
            raise BadQueueConfig(f"{port.replace('_p', 'P')} is a port: 65535 at most")


def _address(values: dict[str, Any]) -> dict[str, Any]:
    """Take redisUrl and redisSecureEnabled out, and return where Redis is."""
    url = values.pop("redis_url", "") or f"localhost:{DEFAULT_PORT}"
    secure = values.pop("redis_secure", None)
    values.pop("redis_trust_store_password", None)
    if "://" in url:
        return _from_url(url, secure, values.get("redis_user"))
    if url.startswith("["):
        host, _, rest = url[1:].partition("]")
        return {"redis_tls": bool(secure), "redis_host": host, "redis_port": _port(rest.removeprefix(":"))}
    # The original: the host stands before the first colon and the port behind the last.
    host, colon, _ = url.partition(":")
    port = _port(url.rpartition(":")[2] if colon else "")
    return {"redis_tls": bool(secure), "redis_host": host or "localhost", "redis_port": port}


def _from_url(url: str, secure: bool | None, known_user: str | None) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        host, port, password, user = parts.hostname, parts.port, parts.password, unquote(parts.username or "")
    except ValueError:
        raise BadQueueConfig("redisUrl is no address") from None
    if password is not None:
        raise GraveQueueConfig("redisUrl holds a password; name redisPasswordFile instead")
    if parts.scheme not in {"redis", "rediss", "unix"} or parts.query or parts.fragment:
        raise BadQueueConfig("redisUrl is host:port, redis://, rediss:// or unix:///path")
    if secure is not None and secure != (parts.scheme == "rediss"):
        raise GraveQueueConfig("redisUrl and redisSecureEnabled contradict each other")
    if user and known_user not in {None, user}:
        raise GraveQueueConfig("redisUrl and redisUser name two users")
    found: dict[str, Any] = {"redis_user": user or known_user}
    if parts.scheme == "unix":
        return found | {"redis_unix": unquote(parts.path), "redis_tls": False}
    database = parts.path.strip("/") or "0"
    if not re.fullmatch(r"[0-9]{1,5}", database):
        raise BadQueueConfig("redisUrl ends in the number of a database, such as /0")
    return found | {
        "redis_host": host or "localhost", "redis_port": port or DEFAULT_PORT,
        "redis_tls": parts.scheme == "rediss", "redis_database": int(database),
    }  # fmt: skip


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise BadQueueConfig("redisUrl ends in a port, such as localhost:6379")
    return int(text)


FIELDS: Final = frozenset(each.name for each in fields(QueueConfig))
