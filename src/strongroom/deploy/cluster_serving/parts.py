"""The parts of a queue in a cluster: what each starts, from which image, under which keys, with which configuration.

Pure. What a part starts is measured, so its words are fixed here and the pod says none; what may differ from cluster
to cluster without anybody having to trust it (memory, rates) comes in a file of the chart's ConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from strongroom.clusterserving.names import DEFAULT_JOB
from strongroom.deploy.description import Description, Role
from strongroom.deploy.gramine.parts import arch_libraries, enclave, python_files
from strongroom.deploy.gramine.places import APP, CA, FLINK_HOME, MODELS, OWNER, PYTHON, WORKER_CONFIG, PythonPlaces
from strongroom.deploy.gramine.programs import PYTHON_WORDS
from strongroom.deploy.gramine.server_words import broker_address
from strongroom.deploy.gramine.simulated import manifest_of
from strongroom.deploy.kubernetes.replica import STRONGROOM, WORLD
from strongroom.gramine.manifests import Program

KEYS_MOUNT: Final = "/ssl-keys"  # where a part's Secret is mounted, PART/FILE
PASSWORD_MOUNT: Final = "/password/password"  # noqa: S105  # where the sealed password is mounted
OPENED: Final = "/run/keys"  # memory of the pod: what was opened of it
RUN: Final = "/run/part"  # memory of the pod: what a part writes for itself
DATA: Final = "/data"
SETTINGS: Final = "/settings"  # the chart's ConfigMap
FRONTEND_CONFIG: Final = f"{APP}/frontend.yaml"
REDIS: Final = "redis-service"
REDIS_PORT: Final = 6379
HTTPS_PORT: Final = 10023
HEALTH_PORT: Final = 8502
_ENVIRONMENT: Final = {"HOME": "/nonexistent", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"}  # noqa: S108  # memory


class PartOf(StrEnum):
    """The parts that we start; Flink's own two start as `strongroom flink` has them."""

    WORKER = "worker"
    FRONTEND = "frontend"
    REDIS = "redis"


ROLES: Final[Mapping[PartOf, Role]] = {
    PartOf.WORKER: Role.STREAMING_WORKER,
    PartOf.FRONTEND: Role.QUEUE_FRONTEND,
    PartOf.REDIS: Role.REDIS,
}


def manifest_name(part: PartOf) -> str:
    """Return the file in /app that the simulated platform launches a part by."""
    return f"queue-{part}.manifest"


def words(part: PartOf, description: Description, *, clear: bool = False) -> tuple[str, ...]:
    """Return the words of `strongroom` that a part starts with; `clear`: no TEE, and keys that the cluster can read."""
    where = SETTINGS if clear else APP
    match part:
        case PartOf.WORKER:
            return (*_opening("worker", description, clear), "queue", "serve", "-c", f"{where}/config.yaml")
        case PartOf.FRONTEND:
            return (
                *_opening("frontend", description, clear), *_opening("frontend-client", description, clear),
                "queue", "frontend", "-c", f"{where}/frontend.yaml", f"--httpsKeyStorePath={OPENED}/frontend/tls.pem",
                f"--securePort={HTTPS_PORT}", f"--servableManagerConfPath={SETTINGS}/servables.yaml",
            )  # fmt: skip
        case PartOf.REDIS:
            return (
                *_opening("redis", description, clear), "queue", "redis", f"--job={DEFAULT_JOB}",
                f"--keys={OPENED}/redis", f"--run={RUN}", f"--data={DATA}", f"--port={REDIS_PORT}",
                f"--maxmemory-file={SETTINGS}/maxmemory",
            )  # fmt: skip


def command(part: PartOf, description: Description, mode: str) -> tuple[str, ...]:
    """Return what a part's container starts where `sgx.mode` is `sgx`, `nonsgx` or `simulated`."""
    match mode:
        case "simulated":
            return (*STRONGROOM, "sim", "run", "--world", WORLD, f"{APP}/{manifest_name(part)}")
        case "nonsgx":
            return (*STRONGROOM, *words(part, description, clear=True))
        case _:
            return ("gramine-sgx", f"{APP}/{ROLES[part]}")


def flink_words(part: str, description: Description, *, clear: bool = False) -> tuple[str, ...]:
    """Return the words of `strongroom` for a part of Flink: `jobmanager` or `taskmanager`."""
    password = f"--store-password={PASSWORD_MOUNT}"
    sizes = ("--managed-size=$(TASKMANAGER_MANAGED_SIZE)", "--task-heap-size=$(TASKMANAGER_TASK_HEAP_SIZE)",
             "--slots=$(CORE_NUM)") if part == "taskmanager" and clear else ()  # fmt: skip
    return (
        *_opening(part, description, clear, password), "flink", "part", part, f"--keys={OPENED}/{part}",
        f"--password-file={OPENED}/{part}/store.password", f"--run={RUN}", "--scratch=/local", *sizes,
    )  # fmt: skip


def flink_command(part: str, description: Description, mode: str) -> tuple[str, ...]:
    """Return what a part of Flink starts.

    In an enclave Flink's own script runs outside, and what stands there in the place of `java` hands its words to the
    measured launcher (docs/gramine-manifests.md); the configuration is measured too.
    """
    if mode == "sgx":
        return (f"{FLINK_HOME}/bin/{part}.sh", "start-foreground")
    return (*STRONGROOM, *flink_words(part, description, clear=True))


def program(part: PartOf, description: Description, python: PythonPlaces = PYTHON) -> Program:
    """Return a part as what its enclave holds."""
    configs = {PartOf.WORKER: (WORKER_CONFIG,), PartOf.FRONTEND: (FRONTEND_CONFIG,), PartOf.REDIS: ()}
    redis = ("/usr/bin/redis-server", "/etc/passwd") if part is PartOf.REDIS else ()
    models = (f"{MODELS}/",) if part is PartOf.WORKER else ()
    return Program(
        name=ROLES[part].value,
        title=f"Queue: {part}",
        argv=(python.interpreter, *PYTHON_WORDS, *words(part, description)),
        env=_ENVIRONMENT,
        trusted=(CA, OWNER, *configs[part], *redis, *models, *python_files(python)),
        arch_libraries=arch_libraries(description),
        enclave=enclave(description),
        children=part is PartOf.REDIS,
    )


def app_files(role: Role, description: Description) -> dict[str, bytes]:
    """Return what a part's image has in /app on the simulated platform: its manifest and its configuration."""
    found: dict[str, bytes] = {}
    for part in PartOf:
        if ROLES[part] is not role:
            continue
        found[manifest_name(part)] = manifest_of(program(part, description)).encode()
        if part is PartOf.WORKER:
            found["config.yaml"] = worker_config(description).encode()
        if part is PartOf.FRONTEND:
            found["frontend.yaml"] = frontend_config().encode()
    return found


def worker_config(description: Description) -> str:
    """Return the worker's config.yaml: its model, Redis over TLS, keys from the broker."""
    model = description.models[0].name if description.models else "model"
    lines = {
        "modelPath": f"{MODELS}/{model}",
        **_redis("worker", "cs-worker"),
        "broker": broker_address(description),
        "brokerCaFile": CA,
        "ownerKeyFile": OWNER,
        "waitForKey": "true",
        "healthBind": "0.0.0.0",  # noqa: S104  # of a pod; the network policy says who may ask
        "healthPort": str(HEALTH_PORT),
    }
    return _yaml(lines)


def frontend_config() -> str:
    """Return the front end's config.yaml: the queue alone."""
    return _yaml(_redis("frontend-client", "cs-frontend"))


def _redis(part: str, user: str) -> dict[str, str]:
    own = f"{OPENED}/{part}"
    return {
        "jobName": DEFAULT_JOB,
        "strict": "true",
        "redisUrl": f"rediss://{REDIS}:{REDIS_PORT}/0",
        "redisSecureEnabled": "true",
        "redisUser": user,
        "redisPasswordFile": f"{own}/redis.password",
        "redisCaFile": f"{own}/ca.crt",
        "redisCertFile": f"{own}/tls.pem",
        "redisKeyFile": f"{own}/tls.pem",
    }


def _yaml(lines: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _opening(part: str, description: Description, clear: bool, *more: str) -> tuple[str, ...]:
    secret = ("--clear",) if clear else (f"--broker={broker_address(description)}", f"--ca={CA}")
    place = (f"--part={part}", f"--from={KEYS_MOUNT}/{part}", f"--to={OPENED}/{part}")
    return ("keys", "open", *place, *more, *secret, "--")
