"""The words and variables with which a model server starts, whatever it runs in. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.gramine import places

CONNECTION_AGE: Final = "grpc.max_connection_age_ms=60000,grpc.max_connection_age_grace_ms=30000"


def server_words(description: Description) -> tuple[str, ...]:
    """Return the words of `strongroom serve`: sealed models, TLS from their ssl.cfg, keys from the broker."""
    return (
        "--bind=0.0.0.0",
        f"--port={places.GRPC_PORT}",
        f"--rest_api_port={places.REST_PORT}",
        f"--health_port={places.HEALTH_PORT}",
        "--health_bind=0.0.0.0",
        *model_words(description),
        f"--ssl_config_file={places.SSL_CONFIG}",
        f"--broker={broker_address(description)}",
        f"--broker_ca={places.CA}",
        f"--owner_key={places.OWNER}",
        "--wait_for_key",
        "--allow_reload=false",
        f"--grpc_channel_arguments={CONNECTION_AGE}",
    )


def model_words(description: Description) -> tuple[str, ...]:
    """Return which models are served: one by its name, several (or none yet) by a list."""
    if len(description.models) != 1:
        return (f"--model_config_file={places.MODEL_LIST}",)
    (model,) = description.models
    return (f"--model_name={model.name}", f"--model_base_path={places.MODELS}/{model.name}")


def model_list(description: Description) -> str:
    """Return `/app/models.config`, a text ModelServerConfig."""
    rows = [
        f"  config {{ name: {json.dumps(model.name)} base_path: {json.dumps(f'{places.MODELS}/{model.name}')}"
        ' model_platform: "tensorflow" }'
        for model in description.models
    ]
    return "\n".join(["model_config_list {", *rows, "}", ""])


def server_environment(description: Description) -> Mapping[str, str]:
    """Return the variables of `strongroom serve`; none comes from outside."""
    return {"GRPC_VERBOSITY": "NONE", "HOME": "/nonexistent", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108  # a tmpfs


def broker_address(description: Description) -> str:
    """Return where keys come from: the broker's Service in this namespace, unless there is one outside."""
    return description.broker or f"https://{description.name}-broker:{places.KBS_PORT}"


def broker_host(description: Description) -> str:
    """Return the broker's name, as it stands in its certificate."""
    return broker_address(description).removeprefix("https://").rpartition(":")[0]
