"""What is to be deployed: the [deploy] table of strongroom.toml, read strictly. Pure.

One frozen value that every renderer takes. Names are Kubernetes names (RFC 1123 labels), sizes Kubernetes quantities.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeVar

from strongroom.errors import BadInput

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")  # of Services as well: a label as RFC 1035 has it
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_CPU: Final = re.compile(r"[1-9][0-9]{0,8}m?")
_BYTES: Final = re.compile(r"[1-9][0-9]{0,8}(Ki|Mi|Gi|Ti)?")
_BROKER: Final = re.compile(r"(https://)?([^:/]{1,253}):([0-9]{1,5})")
_LAST_PORT: Final = 65535
_IMAGE: Final = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}(@sha256:[0-9a-f]{64})?")
_PATH: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f$]{1,1024}")  # $ would be a variable in Compose
_JOB: Final = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")  # names of pods have 63 letters
_PROGRAM: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}\.(py|jar)")
_CLASS: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.]{0,200}")
_REPORT: Final = re.compile(r"/data(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){1,8}")
_HEAP: Final = re.compile(r"[1-9][0-9]{0,5}[mg]")
_VERSION: Final = re.compile(r"1\.[0-9]{1,2}")
GRAMINE_VERSIONS: Final = ("graphene", "1.0", "1.1", "1.2", "1.3.1", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9")
OLDEST_KUBERNETES: Final = (1, 20)
MAX_REPLICAS: Final = 10_000


class DeployMalformed(BadInput):
    """The [deploy] table of strongroom.toml holds something that is not a setting, or a value a setting cannot have."""

    code = "SR-DEPLOY-SETTINGS"
    fix = "Correct the [deploy] table of strongroom.toml; docs/deploying.md lists what it may hold."


class Tee(StrEnum):
    """What the replicas run in."""

    SGX = "sgx"
    TDX = "tdx"
    SIMULATED = "simulated"


class Engine(StrEnum):
    """Which server serves."""

    STRONGROOM = "strongroom"
    TENSORFLOW_SERVING = "tensorflow-serving"


class Front(StrEnum):
    """What takes the clients' connections."""

    NGINX = "nginx"  # our own pod: TLS passthrough by server name
    INGRESS = "ingress"  # an existing ingress-nginx with --enable-ssl-passthrough
    GATEWAY = "gateway"  # a Gateway API TLSRoute
    NONE = "none"  # the Service alone


class Size(StrEnum):
    """How much a replica asks for unless [deploy.resources] says so."""

    SMALL = "small"  # fits on two cores
    SEED = "seed"  # the numbers of the reference solution


class Role(StrEnum):
    """What an image is for; also the last part of its name."""

    CLIENT = "client"
    BROKER = "broker"
    MODEL_SERVER = "model-server"
    STREAMING_WORKER = "streaming-worker"
    QUEUE_FRONTEND = "queue-frontend"
    REDIS = "redis"
    FLINK = "flink"
    SPARK = "spark"
    MODELS = "models"  # data only: sealed model versions
    FRONT = "front"  # nginx


class Records(StrEnum):
    """Which records the queue's workers take; it is measured with them, so that no operator can change it."""

    PLAIN = "plain"
    SEALED_TOO = "sealed-too"
    SEALED_ONLY = "sealed-only"


class Flavour(StrEnum):
    """What an image is built on."""

    DEFAULT = "default"
    AZURE = "azure"
    ANOLISOS = "anolisos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model that every replica serves; its sealed versions travel in the `models` image."""

    name: str
    path: str  # the folder of sealed versions, relative to the workspace: models/NAME unless said


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one replica asks for and may use."""

    cpu: str
    memory: str
    epc: str  # enclave memory, SGX only
    enclave_size: str  # Gramine's sgx.enclave_size
    max_threads: int


SIZES: Final[Mapping[Size, Resources]] = {
    Size.SMALL: Resources(cpu="100m", memory="512Mi", epc="64Mi", enclave_size="4G", max_threads=128),
    Size.SEED: Resources(cpu="2", memory="8Gi", epc="4Gi", enclave_size="4G", max_threads=400),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """How many replicas there may be, and at what load another one starts."""

    least: int
    most: int
    requests_in_flight: int  # of each replica, on average


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkJob:
    """One Spark program for a cluster. All of it but the number of executors and their cores is measured."""

    name: str = "job"  # prefix of its objects; its secret is secret/spark-NAME
    keys: tuple[str, ...] = ()  # the primary keys that it may use: secret/data-KEY
    program: str | None = None  # a .py or .jar, relative to the workspace; None: the example pi.py
    main_class: str | None = None  # of a .jar
    arguments: tuple[str, ...] = ()
    driver_memory: str = "1g"  # heaps
    executor_memory: str = "1g"
    executors: int = 2
    cores: int = 1  # of each executor
    report: str | None = None  # a folder of the pods' for the job's report; None: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything a renderer may know. Defaults deploy one simulated replica of what the workspace has published."""

    name: str = "strongroom"  # prefix of every object
    namespace: str = "strongroom"
    tee: Tee = Tee.SIMULATED
    engine: Engine = Engine.STRONGROOM
    cloud: str = "generic"  # a profile: see strongroom.deploy.clouds
    front: Front = Front.NGINX
    size: Size = Size.SMALL
    replicas: int = 1
    host: str = "grpc.tf-serving.service.com"  # the name clients ask for (TLS server name)
    kubernetes: tuple[int, int] = (1, 30)  # the target's version
    gramine: str = "1.9"
    flavour: Flavour = Flavour.DEFAULT
    registry: str = "localhost:5000"
    version: str = "latest-sealed"  # tag of the images until `deploy build` has pinned their digests
    broker: str | None = None  # None: in the cluster; HOST:PORT or https://HOST:PORT: outside of it
    records: Records = Records.PLAIN
    models: tuple[Model, ...] = ()
    resources: Resources = SIZES[Size.SMALL]
    autoscaling: Autoscaling | None = None
    images: Mapping[Role, str] = field(default_factory=dict)  # pinned references, by role
    spark: SparkJob | None = None

    def image(self, role: Role) -> str:
        """Return the reference of an image: pinned, or by its tag."""
        return self.images.get(role, f"{self.registry}/strongroom-{role}:{self.flavour}-{self.version}")

    @classmethod
    def parse(cls, table: Mapping[str, object]) -> Description:
        """Read the [deploy] table; unknown words are refused. Raises DeployMalformed."""
        words = _Words(table, "[deploy]")
        size = words.one_of("size", Size, Size.SMALL)
        found = cls(
            name=words.text("name", "strongroom", _NAME),
            namespace=words.text("namespace", "strongroom", _LABEL),
            tee=words.one_of("tee", Tee, Tee.SIMULATED),
            engine=words.one_of("engine", Engine, Engine.STRONGROOM),
            cloud=words.text("cloud", "generic", _LABEL),
            front=words.one_of("front", Front, Front.NGINX),
            size=size,
            replicas=words.number("replicas", 1, 1, MAX_REPLICAS),
            host=words.text("host", "grpc.tf-serving.service.com", _HOST),
            kubernetes=_kubernetes(words.text("kubernetes", "1.30", _VERSION)),
            gramine=words.text("gramine", "1.9", re.compile("|".join(map(re.escape, GRAMINE_VERSIONS)))),
            flavour=words.one_of("flavour", Flavour, Flavour.DEFAULT),
            registry=words.text("registry", "localhost:5000", _IMAGE),
            version=words.text("version", "latest-sealed", _MODEL),
            broker=_broker(words.optional("broker", _BROKER)),
            records=words.one_of("records", Records, Records.PLAIN),
            models=_models(words.take("model", list, [])),
            resources=_resources(words.take("resources", dict, {}), SIZES[size]),
            autoscaling=_autoscaling(words.take("autoscaling", dict, {})),
            images=_images(words.take("images", dict, {})),
            spark=_spark(words.take("spark", dict, {})) if "spark" in table else None,
        )
        words.expect_end()
        if found.engine is Engine.TENSORFLOW_SERVING and found.tee is not Tee.SGX:
            raise DeployMalformed('[deploy] engine = "tensorflow-serving" runs in Gramine only: say tee = "sgx"')
        if found.engine is Engine.TENSORFLOW_SERVING and (found.broker or "").startswith("https://"):
            raise DeployMalformed("[deploy] TensorFlow Serving asks over Gramine's protocol: broker is HOST:PORT")
        if found.engine is Engine.TENSORFLOW_SERVING and found.autoscaling is not None:
            raise DeployMalformed("[deploy.autoscaling] counts requests in flight, which TensorFlow Serving does not")
        return found


def _kubernetes(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    if (int(major), int(minor)) < OLDEST_KUBERNETES:
        raise DeployMalformed(f"[deploy] kubernetes is {text}; the oldest supported is 1.20")
    return int(major), int(minor)


def _broker(text: str | None) -> str | None:
    found = _BROKER.fullmatch(text or "")
    if found is None:
        return text
    if not _HOST.fullmatch(found[2]) or not 0 < int(found[3]) <= _LAST_PORT:
        raise DeployMalformed(f"[deploy]: broker cannot be {found[0][:80]!r}")
    try:
        address = ipaddress.ip_address(found[2])
    except ValueError:
        return text
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise DeployMalformed(f"[deploy]: broker is {found[2]}, an address that means another machine in every pod")
    return text


def _models(items: list[Any]) -> tuple[Model, ...]:
    found = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise DeployMalformed(f"[[deploy.model]] number {index + 1} is not a table")
        words = _Words(item, f"[[deploy.model]] number {index + 1}")
        name = words.text("name", None, _MODEL)
        found.append(Model(name=name, path=words.text("path", f"models/{name}", _PATH)))
        words.expect_end()
    if len({model.name for model in found}) < len(found):
        raise DeployMalformed("[[deploy.model]] names a model twice")
    return tuple(found)


def _resources(values: dict[str, Any], usual: Resources) -> Resources:
    words = _Words(values, "[deploy.resources]")
    found = Resources(
        cpu=words.text("cpu", usual.cpu, _CPU),
        memory=words.text("memory", usual.memory, _BYTES),
        epc=words.text("epc", usual.epc, _BYTES),
        enclave_size=words.text("enclave_size", usual.enclave_size, re.compile(r"[1-9][0-9]{0,5}[KMG]")),
        max_threads=words.number("max_threads", usual.max_threads, 4, 4096),
    )
    words.expect_end()
    return found


def _autoscaling(values: dict[str, Any]) -> Autoscaling | None:
    if not values:
        return None
    words = _Words(values, "[deploy.autoscaling]")
    found = Autoscaling(
        least=words.number("min", 1, 1, MAX_REPLICAS),
        most=words.number("max", None, 1, MAX_REPLICAS),
        requests_in_flight=words.number("requests_in_flight", 8, 1, 100_000),
    )
    words.expect_end()
    if found.least > found.most:
        raise DeployMalformed(f"[deploy.autoscaling] min is {found.least}, above max, {found.most}")
    return found


def _images(values: dict[str, Any]) -> dict[Role, str]:
    words = _Words(values, "[deploy.images]")
    found = {role: words.text(role.value, None, _IMAGE) for role in Role if role.value in values}
    words.expect_end()
    return found


def _spark(values: dict[str, Any]) -> SparkJob:
    words, usual = _Words(values, "[deploy.spark]"), SparkJob()
    found = SparkJob(
        name=words.text("name", usual.name, _JOB),
        keys=words.texts("keys", _MODEL),
        program=words.optional("program", _PROGRAM),
        main_class=words.optional("class", _CLASS),
        arguments=words.texts("arguments", _PATH),
        driver_memory=words.text("driver_memory", usual.driver_memory, _HEAP),
        executor_memory=words.text("executor_memory", usual.executor_memory, _HEAP),
        executors=words.number("executors", usual.executors, 1, 1000),
        cores=words.number("cores", usual.cores, 1, 256),
        report=words.optional("report", _REPORT),
    )
    words.expect_end()
    if (found.main_class is not None) is not (found.program or "").endswith(".jar"):
        raise DeployMalformed("[deploy.spark] class names the main class of a .jar, and a .jar needs one")
    if found.program is not None and ".." in found.program.split("/"):
        raise DeployMalformed(f"[deploy.spark] program leads out of the workspace: {found.program[:80]!r}")
    return found


class _Words:
    """A table whose words are taken one by one, so that what is left over is unknown."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values, self._where = dict(values), where

    def take(self, name: str, kind: type[T], default: T | None) -> T:
        value = self._values.pop(name, default)
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise DeployMalformed(f"{self._where}: {name} is missing or not of the type {kind.__name__}")
        return value

    def text(self, name: str, default: str | None, pattern: re.Pattern[str]) -> str:
        value = self.take(name, str, default)
        if not pattern.fullmatch(value):
            raise DeployMalformed(f"{self._where}: {name} cannot be {value[:80]!r}")
        return value

    def texts(self, name: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        found = self.take(name, list, [])
        for value in found:
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise DeployMalformed(f"{self._where}: {name} cannot hold {str(value)[:80]!r}")
        return tuple(found)

    def optional(self, name: str, pattern: re.Pattern[str]) -> str | None:
        return self.text(name, None, pattern) if name in self._values else None

    def number(self, name: str, default: int | None, least: int, most: int) -> int:
        value = self.take(name, int, default)
        if not least <= value <= most:
            raise DeployMalformed(f"{self._where}: {name} is {value}, allowed are {least} to {most}")
        return value

    def one_of(self, name: str, kind: type[E], default: E) -> E:
        value: str = self.take(name, str, str(default))
        try:
            return kind(value)
        except ValueError:
            raise DeployMalformed(
                f"{self._where}: {name} is {value[:64]!r}; it takes {', '.join(each.value for each in kind)}"
            ) from None

    def expect_end(self) -> None:
        if self._values:
            raise DeployMalformed(f"{self._where} does not know {', '.join(sorted(self._values))[:200]!r}")
