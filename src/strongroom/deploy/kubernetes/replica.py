"""What one replica runs: its command, its words, and where its container finds things. Pure.

Paths inside of every container: `/app` is the program's manifest and signature, read-only, from the image. `/models`
holds the sealed versions, copied from the models image when the pod starts. `/trust` holds what is public (ConfigMap
NAME-trust); those files are measured, so that another CA makes another program. `/tmp` and, with the simulated
platform, `/work` are memory of the pod. Nothing else is writable.

The words of a replica are part of its measurement: the manifest in the image says them (`replica_words`), so the pod
says none. A pod that said others would run another program, which the broker refuses. A trust domain has no manifest:
there the pod says them.
"""

from __future__ import annotations

import json
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

INTERPRETER: Final = "/opt/strongroom/bin/python3"
STRONGROOM: Final = (INTERPRETER, "-I", "-m", "strongroom")
APP: Final = "/app"
MODELS: Final = "/models"
MODELS_TO_FILL: Final = "/srv/models"  # where the models image's init container sees the volume that becomes /models
TRUST: Final = "/trust"
WORK: Final = "/work"
WORLD: Final = f"{WORK}/world"  # the simulated platform's folder: a copy that this container's user alone can enter
WORLD_SECRET: Final = "/simulated-world"  # noqa: S105  # where the Secret NAME-simulated-world is mounted
REPLICA: Final = f"{APP}/replica"  # + .manifest for `sim run`, .manifest.sgx and .sig for gramine-sgx
TENSORFLOW: Final = f"{APP}/tensorflow_model_server"
CA_NAME: Final = "ca_cert.pem"
OWNER_NAME: Final = "owner_public.pem"
CA_FILE: Final = f"{TRUST}/{CA_NAME}"
OWNER_FILE: Final = f"{TRUST}/{OWNER_NAME}"
MODELS_FILE: Final = "models.config"  # in /trust, where a replica serves several models or none
MONITORING_FILE: Final = "monitoring.config"  # in /trust: where metrics are found
SSL_FILE: Final = f"{MODELS}/ssl.cfg"
METRICS_PATH: Final = "/monitoring/prometheus/metrics"
CONNECTION_AGE: Final = "grpc.max_connection_age_ms=60000,grpc.max_connection_age_grace_ms=30000"
LEAVE_S: Final = 5  # between "terminating" and SIGTERM: until endpoints and fronts have noticed
DRAIN_S: Final = 30  # what running requests may take once the server stops
GRACE_S: Final = LEAVE_S + DRAIN_S + 10
# Not -a: nobody but root may set the owner and the times of the volume's own folder.
FILL_MODELS: Final = ("cp", "-R", f"{MODELS}/.", f"{MODELS_TO_FILL}/")
# The files of a Secret belong to root; a world's have to belong to whoever uses it, and to nobody else.
COPY_WORLD: Final = (
    "sh",
    "-c",
    f"install -d -m 0700 {WORLD} && install -m 0600 {WORLD_SECRET}/* {WORLD}/",
)


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
        "--allow_reload=false",
        f"--health_port={HEALTH_PORT}",
        "--health_bind=0.0.0.0",
        f"--monitoring_config_file={TRUST}/{MONITORING_FILE}",
        f"--grpc_channel_arguments={CONNECTION_AGE}",
        f"--drain_seconds={DRAIN_S}",
    )


def tensorflow_words(description: Description) -> tuple[str, ...]:
    """Return the words of `tensorflow_model_server` in Gramine: measured, the same in every pod."""
    return (
        f"--port={GRPC_PORT}",
        "--rest_api_port=0",  # it would answer in clear text (seed defect T7)
        *_models(description),
        f"--ssl_config_file={SSL_FILE}",
    )


def trusted_words(description: Description) -> Mapping[str, str]:
    """Return the public files of /trust that the description decides, by name; they are measured too."""
    if description.engine is Engine.TENSORFLOW_SERVING:
        return {}
    found = {MONITORING_FILE: f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'}
    if len(description.models) != 1:
        rows = [
            f"  config {{ name: {json.dumps(each.name)}, base_path: {json.dumps(f'{MODELS}/{each.name}')},"
            ' model_platform: "tensorflow" }\n'
            for each in description.models
        ]
        found[MODELS_FILE] = f"model_config_list {{\n{''.join(rows)}}}\n"
    return found


def command(description: Description) -> tuple[str, ...]:
    """Return what a replica's container starts, in full: no pod depends on the ENTRYPOINT of an image."""
    match description.tee:
        case Tee.SIMULATED:
            return (*STRONGROOM, "sim", "run", "--world", WORLD, f"{REPLICA}.manifest")
        case Tee.SGX:
            return ("gramine-sgx", TENSORFLOW if description.engine is Engine.TENSORFLOW_SERVING else REPLICA)
        case Tee.TDX:
            return (*STRONGROOM, "serve", *replica_words(description))


def secret_provisioning_servers(description: Description) -> str:
    """Return HOST:PORT of the broker as Gramine's SECRET_PROVISION_SERVERS has it."""
    if description.broker is None:
        return f"{broker_service_names(description.name, description.namespace)[0]}:{GRAMINE_PORT}"
    return description.broker.removeprefix("https://")


def _models(description: Description) -> tuple[str, ...]:
    if len(description.models) != 1:
        return (f"--model_config_file={TRUST}/{MODELS_FILE}",)
    name = description.models[0].name
    return (f"--model_name={name}", f"--model_base_path={MODELS}/{name}")
