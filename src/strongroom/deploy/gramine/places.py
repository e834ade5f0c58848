"""Where the parts lie in an image: the same paths for whoever builds it, whoever signs it and whoever runs it. Pure.

Programs in Gramine start in `WORKDIR` (the root), since sealed files are bound to `models/NAME/VERSION/…` without a
slash before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WORKDIR: Final = "/"
APP: Final = "/app"  # manifests, signatures, the owner's two public files, lists of models
MODELS: Final = "/models"  # NAME/VERSION/…, and ssl.cfg
CA: Final = f"{APP}/ca_cert.pem"
OWNER: Final = f"{APP}/owner_public.pem"
MODEL_LIST: Final = f"{APP}/models.config"
MONITORING: Final = f"{APP}/monitoring.config"
WORKER_CONFIG: Final = f"{APP}/config.yaml"
CREDENTIALS: Final = (
    f"{APP}/credentials"  # of the streaming worker for Redis: certificates, and sealed key and password
)
REDIS: Final = "redis-service:6379"  # of the queue, as its chart calls it
REPLICA: Final = f"{APP}/replica.manifest"  # what `strongroom sim run` takes
SSL_CONFIG: Final = f"{MODELS}/ssl.cfg"
GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
HEALTH_PORT: Final = 8502
KBS_PORT: Final = 8080
PROVISIONING_PORT: Final = 4433
ADMIN_PORT: Final = 8443  # of the broker: administration, and what probes ask
TENSORFLOW_SERVER: Final = "/usr/bin/tensorflow_model_server"
JAVA_HOME: Final = "/opt/java"
SPARK_HOME: Final = "/opt/spark"
FLINK_HOME: Final = "/opt/flink"
DATA: Final = "data"  # sealed files of an analytics job, bound to data/… as models are to models/…
SPARK_PROGRAM: Final = f"{APP}/spark-program.argv"  # what the driver runs: words of spark-submit, each ended by NUL
JOB: Final = f"{APP}/job"  # of a Spark job: its program
SCRATCH: Final = "/local"  # what a JVM spills: sealed by its own enclave


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonPlaces:
    """Where an image has Python and what it imports; all of it is measured."""

    interpreter: str = "/opt/strongroom/bin/python3"  # of a virtual environment; a link is measured by what it leads to
    folders: tuple[str, ...] = ("/opt/strongroom", "/usr/lib/python3.11")


PYTHON: Final = PythonPlaces()
