"""Write a configuration as config.yaml: what differs from the defaults, in the order of the keys' table. Pure."""

from __future__ import annotations

from typing import Any, Final

import yaml

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.config_keys import KEYS

# What is one field in the file and several in the value, or has no place in the value at all.
_APART: Final = frozenset(
    {"redis_url", "redis_secure", "redis_trust_store_password", "queue_used", "kafka_url", "performance_mode"}
)


def config_text(config: QueueConfig) -> str:
    """Return config.yaml of a configuration: reading it gives the same one."""
    defaults = QueueConfig()
    tree: dict[str, Any] = {}
    for key in KEYS:
        if key.field in _APART:
            if key.field == "redis_url":
                tree[key.name] = _address(config)
            continue
        value = getattr(config, key.field)
        if value != getattr(defaults, key.field):
            tree[key.name] = _plain(value)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1 << 16)


def _plain(value: object) -> object:
    if isinstance(value, tuple):  # imageResize
        return ",".join(str(each) for each in value)
    return dict(value) if isinstance(value, dict) else value


def _address(config: QueueConfig) -> str:
    if config.redis_unix is not None:
        return f"unix://{config.redis_unix}"
    host = f"[{config.redis_host}]" if ":" in config.redis_host else config.redis_host
    database = f"/{config.redis_database}" if config.redis_database else ""
    return f"{'rediss' if config.redis_tls else 'redis'}://{host}:{config.redis_port}{database}"
