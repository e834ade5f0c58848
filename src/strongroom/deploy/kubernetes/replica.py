"""What one replica runs: its command, its words, and where its container finds things. Pure.

Paths inside of every container: `/app` is the program with its manifest, read-only, from the image. `/models` holds the
sealed versions, copied from the models image at start. `/trust` holds what is public (ConfigMap NAME-trust). `/work`
is memory of the pod. Nothing else is writable.

The words of a replica are part of its measurement: the manifest in the image says them (`replica_words`), so the pod
says none. A pod that said others would run another program, which the broker refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.deploy.description import Description, Engine, Tee
from strongroom.deploy.kubernetes.naming import (
    GRAMINE_PORT,
    GRPC_PORT,
    HEALTH_PORT,
    KBS_PORT,
    REST_PORT,
    broker_service_names,
)

APP: Final = "/app"
MODELS: Final = "/models"
MODELS_TO_FILL: Final = "/srv/models"  # where the models image's init container sees the volume that becomes /models
TRUST: Final = "/trust"
WORK: Final = "/work"
WORLD_SECRET: Final = "/simulated-world"  # noqa: S105  # where the Secret of a simulated platform is mounted
WORLD: Final = f"{WORK}/world"  # its copy, which only this container's user can enter
REPLICA: Final = f"{APP}/replica"  # + .manifest, .manifest.sgx, .sig
TENSORFLOW: Final = f"{APP}/tensorflow_model_server"  # + .manifest.sgx, .sig
CA_FILE: Final = f"{TRUST}/ca_cert.pem"
OWNER_FILE: Final = f"{TRUST}/owner_public.pem"
MODELS_FILE: Final = "models.config"  # in /trust, where a replica serves several models
MONITORING_FILE: Final = "monitoring.config"  # in /trust: where metrics are found
SSL_FILE: Final = f"{MODELS}/ssl.cfg"
DRAIN_S: Final = 30  # running requests may take so long to finish once the server stops
METRICS_PATH: Final = "/monitoring/prometheus/metrics"


def broker_url(description: Description) -> str:
    """Return where replicas ask for keys: our Service in the cluster, or the owner's broker, by the name it has."""
    if description.broker is None:
        return f"https://{broker_service_names(description.name, description.namespace)[0]}:{KBS_PORT}"
    return description.broker


def replica_words(description: Description) -> tuple[str, ...]:
    """Return the words of `strongroom serve` in a replica: measured, the same in every pod."""
    return (
        "--bind=0.0.0.0",
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        *_models(description),
        f"--ssl_config_file={SSL_FILE}",
        f"--broker={broker_url(description)}",
        f"--broker_ca={CA_FILE}",
        f"--owner_key={OWNER_FILE}",
        "--wait_for_key=true",
        f"--health_port={HEALTH_PORT}",
        "--health_bind=0.0.0.0",
        f"--monitoring_config_file={TRUST}/{MONITORING_FILE}",
        f"--drain_seconds={DRAIN_S}",
    )


def tensorflow_words(description: Description) -> tuple[str, ...]:
    """Return the words of `tensorflow_model_server` in Gramine: measured, the same in every pod."""
    return (
        f"--port={GRPC_PORT}",
        f"--rest_api_port={0}",  # it would answer in clear text (seed defect T7)
        *_models(description),
        f"--ssl_config_file={SSL_FILE}",
    )


def trusted_words(description: Description) -> Mapping[str, str]:
    """Return the public files of /trust that the description decides, by name; they are measured too."""
    found = {MONITORING_FILE: f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'}
    if len(description.models) > 1:
        entries = "".join(
            f'  config {{ name: "{each.name}", base_path: "{MODELS}/{each.name}", model_platform: "tensorflow" }}\n'
            for each in description.models
        )
        found[MODELS_FILE] = f"model_config_list {{\n{entries}}}\n"
    return found


def command(description: Description) -> tuple[str, ...]:
    """Return what a replica's container starts, in full: no pod depends on the ENTRYPOINT of an image."""
    match description.tee:
        case Tee.SIMULATED:
            return ("strongroom", "sim", "run", "--world", WORLD, f"{REPLICA}.manifest")
        case Tee.SGX:
            program = TENSORFLOW if description.engine is Engine.TENSORFLOW_SERVING else REPLICA
            return ("gramine-sgx", program)
        case Tee.TDX:
            return ("strongroom", "serve", *replica_words(description))


def secret_provisioning_servers(description: Description) -> str:
    """Return HOST:PORT of the broker as Gramine's SECRET_PROVISION_SERVERS has it."""
    if description.broker is None:
        return f"{broker_service_names(description.name, description.namespace)[0]}:{GRAMINE_PORT}"
    return description.broker.removeprefix("https://")


def _models(description: Description) -> tuple[str, ...]:
    if len(description.models) > 1:
        return (f"--model_config_file={TRUST}/{MODELS_FILE}",)
    name = description.models[0].name if description.models else "model"
    return (f"--model_name={name}", f"--model_base_path={MODELS}/{name}")
