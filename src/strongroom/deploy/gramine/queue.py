"""The parts of a queue as what their enclaves hold: worker, HTTP front end, Redis. Pure.

Certificates, keys and passwords come in the cluster's Secrets, mounted at /keys/PART, sealed: Gramine opens them under
one key, which the broker releases to the enclave (`keys open`). So they renew without a new signature, and nothing
unmeasured is read. Redis' own files are sealed under the same key. What a Secret has in clear (certificates) cannot be
read through such a mount, so the CA certificate is the measured one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.clusterserving.names import DEFAULT_JOB
from strongroom.deploy.description import Description, Records
from strongroom.deploy.gramine.parts import arch_libraries, enclave, python_files
from strongroom.deploy.gramine.places import APP, CA, MODELS, OWNER, PythonPlaces
from strongroom.deploy.gramine.server_words import broker_address
from strongroom.gramine.lint.secrets import OWN_KEY
from strongroom.gramine.manifests import KEY_NAME, Encrypted, Program

KEYS: Final = "/keys"  # in an enclave: where the parts' Secrets are seen, opened
OPENED: Final = "/run/keys"  # memory: what was opened of them
RUN: Final = "/run/part"  # memory: what a part writes for itself
DATA: Final = "/data"
REDIS: Final = "redis-service"
REDIS_PORT: Final = 6379
HTTPS_PORT: Final = 10023
HEALTH_PORT: Final = 8502
QUEUE_CONFIG: Final = f"{APP}/queue-worker.yaml"
FRONTEND_CONFIG: Final = f"{APP}/frontend.yaml"
SERVABLES: Final = f"{APP}/servables.yaml"
TOKENS_PER_SECOND: Final = 100  # what the measured front end admits
WORKER_NAME: Final = "queue-worker"
FRONTEND_NAME: Final = "queue-frontend"
REDIS_NAME: Final = "redis"
_WORDS: Final = ("-I", "-B", "-u", "-m", "strongroom")
_ENVIRONMENT: Final = {"HOME": "/nonexistent", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"}  # noqa: S108  # memory
_MEMORY: Final = ("/run/keys", "/run/part", "/tmp")  # noqa: S108  # the enclave's
_MIB: Final = {"K": 2**-10, "M": 1, "G": 1024}


def queue_programs(description: Description, python: PythonPlaces) -> tuple[Program, ...]:
    """Return the three. Raises DeployMalformed."""
    return worker(description, python), frontend(description, python), redis(description, python)


def worker(description: Description, python: PythonPlaces) -> Program:
    """Return the worker of the chart; `streaming-worker` is the one whose credentials are measured."""
    words = (*_opening("worker", description), "queue", "serve", "-c", QUEUE_CONFIG)
    return _program(description, python, WORKER_NAME, "Queue: worker", words=words, parts=("worker",),
                    trusted=(OWNER, QUEUE_CONFIG, f"{MODELS}/"))  # fmt: skip


def frontend(description: Description, python: PythonPlaces) -> Program:
    """Return the HTTP front end; how many requests it admits is measured too."""
    parts = ("frontend", "frontend-client")
    words = (
        *(word for part in parts for word in _opening(part, description)),
        "queue", "frontend", "-c", FRONTEND_CONFIG, f"--httpsKeyStorePath={OPENED}/frontend/tls.pem",
        f"--securePort={HTTPS_PORT}", f"--servableManagerConfPath={SERVABLES}",
    )  # fmt: skip
    return _program(description, python, FRONTEND_NAME, "Queue: HTTP front end", words=words, parts=parts,
                    trusted=(FRONTEND_CONFIG, SERVABLES))  # fmt: skip


def redis(description: Description, python: PythonPlaces) -> Program:
    """Return Redis behind its part: a child, so that it can be told of renewed certificates.

    Memory of an enclave is not seen by its children, so Redis reads its identity through the sealed mount.
    """
    words = (
        "keys", "open", "--part=redis", *_asked(description), "--",
        "queue", "redis", f"--job={DEFAULT_JOB}", f"--keys={KEYS}/redis", f"--ca={CA}", f"--run={RUN}",
        f"--data={DATA}", f"--port={REDIS_PORT}", f"--maxmemory={redis_memory_mib(description)}mb",
    )  # fmt: skip
    return _program(
        description, python, REDIS_NAME, "Queue: Redis", words=words, parts=("redis",),
        trusted=("/usr/bin/redis-server", "/etc/passwd"),
        more=(Encrypted(path=DATA, host=DATA.lstrip("/")),), children=True,
    )  # fmt: skip


def redis_memory_mib(description: Description) -> int:
    """Return what Redis may hold, in MiB: a quarter of its enclave, since it is copied to rewrite its file."""
    size = description.resources.enclave_size
    return max(int(int(size[:-1]) * _MIB[size[-1]]) // 4, 32)


def queue_files(description: Description) -> dict[str, str]:
    """Return what the enclaves of the chart have in /app besides the owner's files: their configurations."""
    return {
        QUEUE_CONFIG.rpartition("/")[2]: worker_config(description, sealed=True),
        FRONTEND_CONFIG.rpartition("/")[2]: frontend_config(),
        SERVABLES.rpartition("/")[2]: servables(),
    }


def worker_config(description: Description, *, sealed: bool = False, clear: bool = False) -> str:
    """Return the worker's config.yaml: its model, Redis over TLS, keys from the broker.

    `sealed`: a sealed model and no other. `clear`: without any TEE, so a plain model, plain records and no broker.
    """
    model = description.models[0].name if description.models else "model"
    lines = {"modelPath": f"{MODELS}/{model}", **_redis("worker", "cs-worker")}
    if not clear:
        lines |= {"broker": broker_address(description), "brokerCaFile": CA, "ownerKeyFile": OWNER,
                  "waitForKey": "true"}  # fmt: skip
    if sealed:
        lines["modelEncrypted"] = "true"
    if description.records is not Records.PLAIN and not clear:
        lines["recordEncrypted"] = "true"
    if description.records is Records.SEALED_ONLY and not clear:
        lines["requireSealed"] = "true"
    lines |= {"healthBind": "0.0.0.0", "healthPort": str(HEALTH_PORT)}  # noqa: S104  # of a pod; the policy says who
    return _yaml(lines)


def frontend_config() -> str:
    """Return the front end's config.yaml: the queue alone."""
    return _yaml(_redis("frontend-client", "cs-frontend"))


def servables() -> str:
    """Return the front end's list of servables, as the original has it."""
    return f"""\
modelMetaDataList:
- !<ClusterServingMetaData>
  modelName: "1"
  modelVersion: "1.0"
  redisHost: {REDIS}
  redisPort: "{REDIS_PORT}"
  redisInputQueue: {DEFAULT_JOB}
  redisOutputQueue: "cluster-serving_{DEFAULT_JOB}:"
  tokenBucketEnabled: true
  tokensPerSecond: {TOKENS_PER_SECOND}
"""


def _program(
    description: Description, python: PythonPlaces, name: str, title: str, *, words: tuple[str, ...],
    parts: tuple[str, ...], trusted: tuple[str, ...], more: tuple[Encrypted, ...] = (), children: bool = False,
) -> Program:  # fmt: skip
    keys = (Encrypted(path=f"{KEYS}/{part}", host=f"{KEYS.lstrip('/')}/{part}", key_name=KEY_NAME) for part in parts)
    return Program(
        name=name, title=title, argv=(python.interpreter, *_WORDS, *words), env={**_ENVIRONMENT, OWN_KEY: KEY_NAME},
        trusted=(CA, *trusted, *python_files(python)), arch_libraries=arch_libraries(description),
        encrypted=(*keys, *more), temporary=_MEMORY, enclave=enclave(description), children=children,
    )  # fmt: skip


def _opening(part: str, description: Description) -> tuple[str, ...]:
    places = (f"--part={part}", f"--from={KEYS}/{part}", f"--to={OPENED}/{part}")
    return ("keys", "open", *places, *_asked(description), "--")


def _asked(description: Description) -> tuple[str, ...]:
    return (f"--broker={broker_address(description)}", f"--ca={CA}")


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
