"""The parts of a queue in a cluster: what each starts, from which image, under which keys, with which configuration.

Pure. What a part starts is measured, so its words are fixed here and the pod says none; what may differ from cluster
to cluster without anybody having to trust it (memory, rates) comes in a file of the chart's ConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from strongroom.clusterserving.names import DEFAULT_JOB
from strongroom.deploy.description import Description, Role, Tee
from strongroom.deploy.gramine.parts import arch_libraries, enclave, python_files
from strongroom.deploy.gramine.places import APP, CA, FLINK_HOME, MODELS, OWNER, PYTHON, WORKER_CONFIG, PythonPlaces
from strongroom.deploy.gramine.programs import PYTHON_WORDS
from strongroom.deploy.gramine.queue import (
    DATA,
    FRONTEND_CONFIG,
    FRONTEND_NAME,
    HEALTH_PORT,
    HTTPS_PORT,
    OPENED,
    REDIS_NAME,
    REDIS_PORT,
    RUN,
    WORKER_NAME,
    frontend_config,
    worker_config,
)
from strongroom.deploy.gramine.server_words import broker_address
from strongroom.deploy.gramine.simulated import manifest_of
from strongroom.deploy.images.roles import PROGRAM
from strongroom.deploy.kubernetes.replica import STRONGROOM, WORLD
from strongroom.gramine.manifests import Program

KEYS_MOUNT: Final = "/ssl-keys"  # where a part's Secret is mounted, PART/FILE
PASSWORD_MOUNT: Final = "/password/password"  # noqa: S105  # where the sealed password is mounted
SETTINGS: Final = "/settings"  # the chart's ConfigMap
WORKERS: Final = "flink-client"  # the part whose certificate hands jobs to Flink
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


ENCLAVES: Final[Mapping[PartOf, str]] = {
    PartOf.WORKER: WORKER_NAME,
    PartOf.FRONTEND: FRONTEND_NAME,
    PartOf.REDIS: REDIS_NAME,
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
            return ("gramine-sgx", f"{APP}/{ENCLAVES[part]}")


def flink_words(part: str, description: Description) -> tuple[str, ...]:
    """Return the words of `strongroom` for a part of Flink without any TEE: `jobmanager`, `taskmanager`, `master`.

    A task manager has the queue's workers in it, and so their keys; the master hands the job over.
    """
    if part == "master":
        return (
            *_opening(WORKERS, description, True), "flink", "master", "-c", f"{SETTINGS}/config.yaml",
            f"--keys={OPENED}/{WORKERS}", f"--run={RUN}", "--parallelism=$(PARALLELISM)", "--health-bind=0.0.0.0",
            f"--health-port={HEALTH_PORT}", f"--flink={PROGRAM}",
        )  # fmt: skip
    sizes: tuple[str, ...] = ("--process-size=$(JOBMANAGER_PROCESS_SIZE)",)
    worker: tuple[str, ...] = ()
    if part == "taskmanager":
        sizes = ("--managed-size=$(TASKMANAGER_MANAGED_SIZE)", "--task-heap-size=$(TASKMANAGER_TASK_HEAP_SIZE)",
                 "--slots=$(CORE_NUM)")  # fmt: skip
        worker = _opening("worker", description, True)
    return (
        *_opening(part, description, True, f"--store-password={PASSWORD_MOUNT}"), *worker,
        "flink", "part", part, f"--keys={OPENED}/{part}", f"--password-file={OPENED}/{part}/store.password",
        f"--run={RUN}", "--scratch=/local", *sizes,
    )  # fmt: skip


def flink_command(part: str, description: Description, mode: str) -> tuple[str, ...]:
    """Return what a part of Flink starts.

    In an enclave Flink's own script runs outside, and what stands there in the place of `java` hands its words to the
    measured launcher (docs/gramine-manifests.md); the configuration is measured too.
    """
    if mode == "sgx":
        return (f"{FLINK_HOME}/bin/{part}.sh", "start-foreground")
    return (*STRONGROOM, *flink_words(part, description))


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
    """Return what a part's image has in /app on the simulated platform: its manifest and its configuration.

    For enclaves all of it is rendered with their manifests (`deploy.gramine`).
    """
    found: dict[str, bytes] = {}
    if description.tee is Tee.SGX:
        return found
    for part in PartOf:
        if ROLES[part] is not role:
            continue
        found[manifest_name(part)] = manifest_of(program(part, description)).encode()
        if part is PartOf.WORKER:
            found["config.yaml"] = worker_config(description).encode()
        if part is PartOf.FRONTEND:
            found["frontend.yaml"] = frontend_config().encode()
    return found


def _opening(part: str, description: Description, clear: bool, *more: str) -> tuple[str, ...]:
    secret = ("--clear",) if clear else (f"--broker={broker_address(description)}", f"--ca={CA}")
    place = (f"--part={part}", f"--from={KEYS_MOUNT}/{part}", f"--to={OPENED}/{part}")
    return ("keys", "open", *place, *more, *secret, "--")
