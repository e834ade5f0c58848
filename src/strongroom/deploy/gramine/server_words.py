"""The words and variables with which a model server starts, whatever it runs in. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from strongroom.deploy.description import DeployMalformed, Description
from strongroom.deploy.gramine import places

_ADDRESS: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", re.ASCII)
DRAIN_S: Final = 30  # running requests may take so long to finish once the server is told to stop
METRICS_PATH: Final = "/monitoring/prometheus/metrics"
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
        f"--monitoring_config_file={places.MONITORING}",
        f"--drain_seconds={DRAIN_S}",
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


def app_files(description: Description) -> Mapping[str, str]:
    """Return the files of `/app` that the words name, by file name, but for the owner's two; all are measured."""
    found = {places.MONITORING: f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'}
    if len(description.models) != 1:
        found[places.MODEL_LIST] = model_list(description)
    return {path.removeprefix(f"{places.APP}/"): content for path, content in sorted(found.items())}


def tensorflow_words(description: Description) -> tuple[str, ...]:
    """Return the words of `tensorflow_model_server`; without REST, which it would answer in clear text."""
    return (
        f"--port={places.GRPC_PORT}",
        "--rest_api_port=0",
        *model_words(description),
        f"--ssl_config_file={places.SSL_CONFIG}",
        *_SEED_WORDS,
    )


# The reference solution's values, fixed: there they came from the container's environment, which the host chooses.
_SEED_WORDS: Final = (
    "--enable_model_warmup=true", "--flush_filesystem_caches=false", "--enable_batching=false",
    "--tensorflow_session_parallelism=0", "--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=2",
    "--file_system_poll_wait_seconds=5",
)  # fmt: skip


def server_environment() -> Mapping[str, str]:
    """Return the variables of `strongroom serve`; none comes from outside."""
    return {"GRPC_VERBOSITY": "NONE", "HOME": "/nonexistent", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}  # noqa: S108  # a tmpfs


def broker_address(description: Description) -> str:
    """Return where keys come from: the broker's Service in this namespace, unless there is one outside."""
    return description.broker or f"https://{description.name}-broker:{places.KBS_PORT}"


def broker_host(description: Description) -> str:
    """Return the broker's name, as it stands in its certificate."""
    return broker_address(description).removeprefix("https://").rpartition(":")[0]


def provisioning_server(description: Description) -> str:
    """Return HOST:PORT of the broker, as Gramine's SECRET_PROVISION_SERVERS has it. Raises DeployMalformed."""
    host = broker_host(description)
    if _ADDRESS.fullmatch(host):
        raise DeployMalformed(f"[deploy] broker is the address {host}; Gramine checks names, as in certificates")
    return f"{host}:{_provisioning_port(description)}"


def _provisioning_port(description: Description) -> str:
    outside = description.broker
    if outside is None or outside.startswith("https://"):  # then its KBS port is named, and Gramine's is the usual one
        return str(places.PROVISIONING_PORT)
    return outside.rpartition(":")[2]
