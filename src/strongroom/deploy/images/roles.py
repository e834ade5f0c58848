"""What each image holds: packages of the system, Python packages it leaves out, what it starts. Pure.

An image holds what its role runs and nothing for other roles: less to ship, less to watch, fewer programs in the pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.deploy.description import Description, Engine, Flavour, Role, Tee
from strongroom.deploy.gramine import places

USER_ID: Final = 10001  # as the pods run it; no user of any host
PROGRAM: Final = "/opt/strongroom"
PYTHON_VERSION: Final = "3.11"  # Debian 12's, and python3.11 of Anolis OS 8
FLINK_LOCK: Final = "streaming/flink/requirements.txt"
FLINK_BUILDERS: Final = "streaming/flink/builders.txt"
FLINK_DISTRIBUTION: Final = f"{PROGRAM}/lib/python{PYTHON_VERSION}/site-packages/pyflink"
SPARK_DISTRIBUTION: Final = f"{PROGRAM}/lib/python{PYTHON_VERSION}/site-packages/pyspark"
JARS: Final = f"{PROGRAM}/share/strongroom/java"  # of our few Java classes, compiled when the image is built
_STRONGROOM: Final = (f"{PROGRAM}/bin/python3", "-I", "-m", "strongroom")
_PYTHON_DEBIAN: Final = ("python3.11-minimal", "libpython3.11-stdlib", "ca-certificates", "libnghttp2-14", "libstdc++6")
_GRAMINE_DEBIAN: Final = ("gramine", "libsgx-quote-ex", "libsgx-dcap-ql")
_PYTHON_ANOLIS: Final = ("python3.11", "ca-certificates", "libnghttp2", "libstdc++", "shadow-utils")
_GRAMINE_ANOLIS: Final = ("gramine", "libsgx-quote-ex", "libsgx-dcap-ql")
_JAVA_DEBIAN: Final = "openjdk-17-jre-headless"
_JAVA_ANOLIS: Final = "java-17-openjdk-headless"
_SPARK_DEBIAN: Final = (_JAVA_DEBIAN, "bash", "libgomp1")  # of bin/spark-submit; of XGBoost's threads
_SPARK_ANOLIS: Final = (_JAVA_ANOLIS, "bash", "libgomp")
_QUOTE_PROVIDER: Final = {  # the library that fetches collateral for Gramine's quotes
    Flavour.DEFAULT: "libsgx-dcap-default-qpl",
    Flavour.AZURE: "az-dcap-client",
    Flavour.ANOLISOS: "libsgx-dcap-default-qpl",
}
_SERVING: Final = ("onnxruntime", "pysimdjson", "uvloop", "httptools")
_ADMINISTRATION: Final = ("starlette", "uvicorn", "jinja2", "prometheus-client", "pyyaml")
_COMPUTING: Final = ("onnxruntime", "numpy", "pillow", "grpcio", "protobuf", "pysimdjson", "pyyaml")

# Packages with compiled code that the key broker may hold; whoever adds one has looked at it (threats SA-06).
NATIVE_IN_BROKER: Final = frozenset({"_cffi_backend", "cryptography", "httptools", "markupsafe", "orjson", "pkcs11",
                                     "psycopg_binary", "uvloop"})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One role's image, whatever it is built on."""

    title: str
    entrypoint: tuple[str, ...] = _STRONGROOM
    command: tuple[str, ...] = ("--help",)
    extras: tuple[str, ...] = ()  # of our own package
    without: tuple[str, ...] = ()  # Python packages that our package asks for and this role does not import
    ports: tuple[int, ...] = ()
    locked: str = ""  # a lock of its own below the package, in the place of ours
    builders: str = ""  # that lock's packages which build those that come as sources alone
    sources: tuple[str, ...] = ()  # packages that come as sources alone, built here with `builders`
    left_out: tuple[str, ...] = ()  # patterns of folders of packages: their own tests, with keys of no use among them
    links: Mapping[str, str] = field(default_factory=dict)  # what lies where -> where it is looked for
    enclaves: tuple[str, ...] = ()  # names of the Gramine manifests that it starts where the deployment is on SGX


CONTENTS: Final[Mapping[Role, Contents]] = {
    Role.CLIENT: Contents(
        title="Strongroom: client",
        without=(*_SERVING, *_ADMINISTRATION),
    ),
    Role.BROKER: Contents(
        title="Strongroom: key broker",
        extras=("postgres", "pkcs11"),
        without=_COMPUTING,
        enclaves=("broker",),
        ports=(places.PROVISIONING_PORT, places.KBS_PORT, 8443),
    ),
    Role.MODEL_SERVER: Contents(
        title="Strongroom: model server",
        ports=(places.GRPC_PORT, places.REST_PORT, places.HEALTH_PORT),
        enclaves=("model-server", "tensorflow_model_server"),
    ),
    Role.STREAMING_WORKER: Contents(
        title="Strongroom: streaming worker", extras=("streaming",), enclaves=("streaming-worker", "queue-worker")
    ),
    Role.QUEUE_FRONTEND: Contents(
        title="Strongroom: HTTP front end of the queue",
        extras=("streaming",),
        without=("onnxruntime", "opencv-python-headless"),
        enclaves=("queue-frontend",),
        ports=(10023,),
    ),
    Role.REDIS: Contents(
        title="Strongroom: Redis of the queue",
        extras=("streaming",),
        without=(
            *(each for each in _COMPUTING if each != "pyyaml"),
            "starlette",
            "uvicorn",
            "jinja2",
            "prometheus-client",
            "opencv-python-headless",
            "pyarrow",
            "uvloop",
            "httptools",
        ),
        enclaves=("redis",),
        ports=(6379,),
    ),
    Role.FLINK: Contents(
        title="Strongroom: Flink of the queue",
        locked=FLINK_LOCK,
        builders=FLINK_BUILDERS,
        links={FLINK_DISTRIBUTION: places.FLINK_HOME},
        enclaves=("flink-jobmanager", "flink-taskmanager"),
        ports=(6123, 6124, 6125, 8081, places.HEALTH_PORT),
    ),
    Role.SPARK: Contents(
        title="Strongroom: Spark",
        extras=("analytics",),
        without=("onnxruntime", "pysimdjson", "uvloop", "pillow", "duckdb", "duckdb-extension-tpch"),
        sources=("pyspark",),
        builders=FLINK_BUILDERS,
        left_out=("*/tests", "*/*/tests", "*/*/*/tests", "onnx/backend/test"),
        links={SPARK_DISTRIBUTION: places.SPARK_HOME},
        enclaves=("spark-driver", "spark-executor"),
        ports=(7078, 7079),
    ),
    Role.MODELS: Contents(
        title="Strongroom: sealed models, data only",
        entrypoint=(),
        command=("cp", "-a", "/models/.", "/srv/models/"),
    ),
    Role.FRONT: Contents(
        title="Strongroom: nginx in front of the replicas",
        entrypoint=("nginx",),
        command=("-e", "stderr", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"),
        ports=(places.GRPC_PORT, places.REST_PORT),
    ),
}

# What a cluster's queue is made of; each starts what a manifest in its /app says (deploy.cluster_serving).
QUEUE: Final = frozenset({Role.STREAMING_WORKER, Role.QUEUE_FRONTEND, Role.REDIS})


def java_home(description: Description) -> str:
    """Return where the distribution puts the Java of its package."""
    return "/usr/lib/jvm/jre-17" if description.flavour is Flavour.ANOLISOS else "/usr/lib/jvm/java-17-openjdk-amd64"


def in_gramine(role: Role, description: Description) -> bool:
    """Return whether the image carries Gramine: its program runs in an SGX enclave."""
    is_outside = role is Role.BROKER and description.broker is not None  # it runs on the owner's machine
    return description.tee is Tee.SGX and bool(CONTENTS[role].enclaves) and not is_outside


def has_app(role: Role, description: Description) -> bool:
    """Return whether /app (manifests, the owner's public files) is part of the image."""
    return role in {Role.MODEL_SERVER, Role.SPARK, *QUEUE} or in_gramine(role, description)


def has_program(role: Role, description: Description) -> bool:
    """Return whether this program is in the image; TensorFlow Serving's own server runs without it."""
    is_foreign = role is Role.MODEL_SERVER and description.engine is Engine.TENSORFLOW_SERVING
    return role not in {Role.FRONT, Role.MODELS} and not is_foreign


def started(role: Role, description: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ENTRYPOINT and CMD; a pod may name another command."""
    contents = CONTENTS[role]
    if not in_gramine(role, description):
        return contents.entrypoint, contents.command
    name = contents.enclaves[0 if has_program(role, description) else 1]
    return ("gramine-sgx",), (f"{places.APP}/{name}",)


def system_packages(role: Role, description: Description) -> tuple[str, ...]:
    """Return the packages of the distribution, or with Gramine of its and Intel's repositories, sorted."""
    if role is Role.FRONT:
        anolis = ("nginx", "nginx-mod-stream", "shadow-utils")
        return anolis if description.flavour is Flavour.ANOLISOS else ("libnginx-mod-stream", "nginx")
    is_anolis = description.flavour is Flavour.ANOLISOS
    own = {
        Role.REDIS: {"redis" if is_anolis else "redis-server"},
        Role.FLINK: {_JAVA_ANOLIS if is_anolis else _JAVA_DEBIAN},
        Role.SPARK: set(_SPARK_ANOLIS if is_anolis else _SPARK_DEBIAN),
    }.get(role, set())
    found = own | set(_PYTHON_ANOLIS if is_anolis else _PYTHON_DEBIAN) if has_program(role, description) else set()
    if in_gramine(role, description):
        found |= {*(_GRAMINE_ANOLIS if is_anolis else _GRAMINE_DEBIAN), _QUOTE_PROVIDER[description.flavour]}
    return tuple(sorted(found))
