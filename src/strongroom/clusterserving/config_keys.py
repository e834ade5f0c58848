"""Every key of config.yaml: how it is spelled, of what kind its value is, and whether the security rests on it. Pure.

Keys are matched without regard to case, as the original does. Source: spec `cluster-serving.md` section 2.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

NEAR: Final = 0.72  # difflib's ratio from which one key is taken for a slip of another
MAX_KEY_CHARACTERS: Final = 64


class Kind(Enum):
    """What a value has to be."""

    TEXT = "text"
    SWITCH = "true or false"
    NUMBER = "a whole number"
    BYTES = "a number of bytes such as 268435456, 256m or 4g"
    TREE = "a group of keys"
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the field of QueueConfig it fills, its kind, its least value, and whether it is about security."""

    name: str
    field: str
    kind: Kind
    least: int = 0
    security: bool = False


def _text(name: str, field: str, *, security: bool = False) -> Key:
    return Key(name, field, Kind.TEXT, security=security)


def _switch(name: str, field: str, *, security: bool = False) -> Key:
    return Key(name, field, Kind.SWITCH, security=security)


def _number(name: str, field: str, least: int = 0) -> Key:
    return Key(name, field, Kind.NUMBER, least)


KEYS: Final[tuple[Key, ...]] = (
    # The original's
    _text("modelPath", "model_path"),
    _text("jobName", "job_name"),
    _text("postProcessing", "post_processing"),
    _switch("inputAlreadyBatched", "input_already_batched"),
    _text("imageResize", "image_resize"),
    _number("coreNumberPerMachine", "core_number", -1),
    _number("modelParallelism", "model_parallelism", 1),
    _number("threadPerModel", "thread_per_model", 1),
    Key("performance_mode", "performance_mode", Kind.ANYTHING),  # OFF is false in YAML
    _text("flinkRestUrl", "flink_rest_url"),
    _text("queueUsed", "queue_used"),
    _text("kafkaUrl", "kafka_url"),
    _text("redisUrl", "redis_url", security=True),  # its scheme says whether there is TLS
    Key("redisMaxmemory", "redis_max_memory", Kind.BYTES),
    _number("redisTimeout", "redis_timeout_ms", 1),
    _switch("redisSecureEnabled", "redis_secure", security=True),
    _text("redisSecureTrustStorePath", "redis_trust_store", security=True),
    _text("redisSecureTrustStorePassword", "redis_trust_store_password", security=True),
    _switch("modelEncrypted", "model_encrypted", security=True),
    _switch("recordEncrypted", "record_encrypted", security=True),
    # Ours: the runner and the queue
    _switch("strict", "strict"),
    _text("runner", "runner"),
    _text("consumerName", "consumer_name"),
    _number("batchSize", "batch_size", 1),
    _number("batchTimeoutMicros", "batch_timeout_us"),
    _number("maxStreamLength", "max_stream_length", 1),
    Key("maxStreamBytes", "max_stream_bytes", Kind.BYTES, 1),
    Key("maxRecordBytes", "max_record_bytes", Kind.BYTES, 1),
    _number("maxDeadLetters", "max_dead_letters", 1),
    _number("resultTtlMs", "result_ttl_ms", 1),
    _number("resultTtlAfterReadMs", "result_ttl_after_read_ms"),
    _number("defaultDeadlineMs", "default_deadline_ms"),
    _number("claimIdleMs", "claim_idle_ms", 1),
    _number("maxDeliveries", "max_deliveries", 1),
    _number("metricsPort", "metrics_port"),
    _number("healthPort", "health_port"),
    _text("healthBind", "health_bind"),
    # Ours: images and results
    Key("imagePreprocess", "image_preprocess", Kind.TREE),
    _switch("strictNames", "strict_names"),
    _text("labelsFile", "labels_file"),
    _text("hookFile", "hook_file", security=True),
    _text("hookSha256", "hook_sha256", security=True),
    # Ours: how we and Redis prove who we are
    _text("redisUser", "redis_user", security=True),
    _text("redisPasswordFile", "redis_password_file", security=True),
    _text("redisCaFile", "redis_ca_file", security=True),
    _text("redisCertFile", "redis_cert_file", security=True),
    _text("redisKeyFile", "redis_key_file", security=True),
    _text("redisSecureTrustStorePasswordFile", "redis_trust_store_password_file", security=True),
    _text("compatUser", "compat_user", security=True),
    _text("compatPasswordFile", "compat_password_file", security=True),
    _text("compatCertFile", "compat_cert_file", security=True),
    _text("compatKeyFile", "compat_key_file", security=True),
    # Ours: sealed models and records
    _switch("requireSealed", "require_sealed", security=True),
    _text("modelName", "model_name", security=True),
    _number("modelVersion", "model_version", 1),
    _text("engine", "engine"),
    _text("broker", "broker", security=True),
    _text("brokerCaFile", "broker_ca_file", security=True),
    _text("tenant", "tenant", security=True),
    _text("deployment", "deployment", security=True),
    _text("ownerKeyFile", "owner_key_file", security=True),
    _text("queueKey", "queue_key", security=True),
    _text("queueKeyFile", "queue_key_file", security=True),
    _number("brokerWaitSeconds", "broker_wait_s", 1),
    _switch("waitForKey", "wait_for_key"),
    _number("keyLeaseSeconds", "key_lease_s"),
    _switch("credentialsSealed", "credentials_sealed", security=True),
    _text("credentialsKey", "credentials_key", security=True),
)

OLDER_NAMES: Final = {
    "secureenabled": "redisSecureEnabled",
    "securetruststorepath": "redisSecureTrustStorePath",
    "securetruststorepassword": "redisSecureTrustStorePassword",
    "securestorepassword": "redisSecureTrustStorePassword",
    "securestructstorepassword": "redisSecureTrustStorePassword",  # sic: published files spell it so
}
BY_NAME: Final = {key.name.lower(): key for key in KEYS}

# What the older, nested form called things; None: known there, and without effect.
NESTED: Final[dict[str, dict[str, str | None]]] = {
    "model": {"path": "modelPath"},
    "data": {"src": "redisUrl", "filter": "postProcessing", "image_shape": None, "shape": None, "type": None},
    "params": {"core_number": "coreNumberPerMachine"},
    "redis": {"src": "redisUrl", "url": "redisUrl", "timeout": "redisTimeout", "maxmemory": "redisMaxmemory"},
}

# An unknown key with one of these in it is about security, whatever it is meant to be.
_GRAVE: Final = re.compile(
    r"secur|tls|ssl|crypt|seal|passw|trust|cert|secret|token|auth|attest|verif|insecure|polic|broker|owner|kms", re.I
)


def nearest(name: str) -> Key | None:
    """Return the key that a misspelt one is nearest to."""
    known = [*BY_NAME, *OLDER_NAMES]
    found = difflib.get_close_matches(name[:MAX_KEY_CHARACTERS].lower(), known, n=1, cutoff=NEAR)
    return BY_NAME[OLDER_NAMES.get(found[0], found[0]).lower()] if found else None


def is_grave(name: str, near: Key | None) -> bool:
    """Return whether an unknown key must stop the start: it is, or is nearly, one that the security rests on."""
    return (near is not None and near.security) or _GRAVE.search(name) is not None
