"""MonitoringConfig: whether there are Prometheus metrics, and at which path. Pure.

Source: spec `model-server.md` section 6.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.tfserving.config import BadConfigText, parse_text
from strongroom.tfserving.messages import MonitoringConfig

DEFAULT_PATH: Final = "/monitoring/prometheus/metrics"
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]{0,255}", re.ASCII)


def metrics_path(data: bytes, *, file: str) -> str | None:
    """Return the path of the metrics, or None where they are off. Raises BadConfigText."""
    config = parse_text(MonitoringConfig, data, file=file).prometheus_config
    if not config.enable:
        return None
    path = str(config.path) or DEFAULT_PATH
    if not _PATH.fullmatch(path) or path.lower().startswith("/v1/"):
        raise BadConfigText(
            f"{file}: prometheus_config.path is {path[:80]!r}, wanted a path that starts with / and is not below /v1/"
        )
    return path
