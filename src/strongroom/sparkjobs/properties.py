"""The secured configuration of Spark: what protects a job's connections, files, pages and logs. Pure.

Sources: Spark 4's security and configuration pages. Whatever is a secret stands in a file that a setting names; the
two exceptions, Spark's own secret for spark:// masters and the key stores' password, are for spark-defaults.conf
(0600, in memory) alone: see `private`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.sparkjobs.masters import MasterKind
from strongroom.sparkjobs.redaction import REDACTION

LOOPBACK: Final = "127.0.0.1"
TLS_PROTOCOL: Final = "TLSv1.3"
WORKER_DAEMON: Final = "strongroom.analytics.submit.worker_daemon"
FOLDER: Final = "spark.strongroom.folder"  # where the JVM finds the session's files
LOGIN: Final = "strongroom.submit.Login"  # shows pages to who has the token alone
AGENT_SOCKET: Final = "spark.hadoop.strongroom.agent"  # what the Parquet key client reads
AGENT_ENVIRONMENT: Final = "STRONGROOM_AGENT"
EXECUTOR_SECRET_FILE: Final = "/run/strongroom/spark/secret"  # noqa: S105  # in a pod: its agent's file, in memory
DRIVER_PORT: Final = 7078  # on Kubernetes, where a Service and network policies name ports
BLOCK_PORT: Final = 7079  # of the driver's and each executor's block manager
APPLICATION: Final = "spark.authenticate.application"  # ours: from which words an application's secret is derived
SESSION_LABEL: Final = "strongroom-session"  # by which a submit knows its executors' pods
CLASS_PATH_SEPARATOR: Final = ":"
NO_DUMPS: Final = (
    "-XX:-HeapDumpOnOutOfMemoryError -XX:-CreateCoredumpOnCrash -XX:-UsePerfData -XX:+DisableAttachMechanism"
)


class Rpc(StrEnum):
    """How driver and executors encrypt what they send each other."""

    AES = "aes"  # AES-GCM after Spark's own handshake, from its secret
    TLS = "tls"

    @classmethod
    def _missing_(cls, value: object) -> Rpc | None:
        return cls.AES if value == "crypto" else None  # the word of BigDL's sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a session's files are, all of them readable by their owner alone."""

    folder: str
    key_store: str
    trust_store: str
    jars: tuple[str, ...]  # ours: the driver's gateway and guard, Parquet's key client
    event_log: str
    temporary: str
    guard: str = ""  # the jar whose agent has every context ask for its settings
    agent: str | None = None  # the key agent's socket
    application: str = ""  # on Kubernetes: what sets this application apart, which all may know


_ALWAYS: Final[Mapping[str, str]] = {
    "spark.authenticate": "true",
    "spark.io.encryption.enabled": "true",
    "spark.io.encryption.keySizeBits": "256",
    "spark.ssl.enabled": "true",
    "spark.ssl.protocol": TLS_PROTOCOL,
    "spark.ui.filters": LOGIN,  # the pages quote rows in messages of errors
    "spark.ui.reverseProxy": "false",
    "spark.ui.killEnabled": "false",
    "spark.ui.threadDumpsEnabled": "false",
    "spark.ui.heapHistogramEnabled": "false",
    "spark.redaction.regex": REDACTION,
    "spark.sql.redaction.options.regex": REDACTION,
    "spark.python.unix.domain.socket.enabled": "true",
    # Between Python workers and the JVM, where rows cost more by Spark's 64 KiB; Spark tells Hadoop's streams the same.
    "spark.buffer.size": str(1024 * 1024),
}
_PARQUET: Final[Mapping[str, str]] = {
    "spark.hadoop.parquet.crypto.factory.class": "org.apache.parquet.crypto.keytools.PropertiesDrivenCryptoFactory",
    "spark.hadoop.parquet.encryption.kms.client.class": "strongroom.parquet.StrongroomKmsClient",
}
# What a user or a program may add to, or have otherwise; everything else that a session sets stays as it is.
_ADDED_TO: Final[Mapping[str, str]] = {
    "spark.driver.extraClassPath": CLASS_PATH_SEPARATOR,
    "spark.executor.extraClassPath": CLASS_PATH_SEPARATOR,
}
_OPEN: Final = frozenset({
    "spark.ui.enabled", "spark.sql.warehouse.dir", "spark.driver.host", "spark.driver.bindAddress",
    "spark.kubernetes.executor.deleteOnTermination", "spark.driver.port", "spark.driver.blockManager.port",
    "spark.blockManager.port", "spark.port.maxRetries", "spark.kubernetes.driver.requestTimeout",
    "spark.kubernetes.driver.connectionTimeout", "spark.python.daemon.module", "spark.buffer.size",
    *_ADDED_TO,
})  # fmt: skip
# Nothing that a pod's object would show, and nothing that the driver's account needs more rights for.
_KUBERNETES: Final[Mapping[str, str]] = {
    "spark.driver.bindAddress": "0.0.0.0",  # noqa: S104  # a pod's: executors come from others
    "spark.driver.port": str(DRIVER_PORT),
    "spark.driver.blockManager.port": str(BLOCK_PORT),
    "spark.blockManager.port": str(BLOCK_PORT),
    "spark.port.maxRetries": "0",
    "spark.kubernetes.executor.deleteOnTermination": "true",
    "spark.kubernetes.executor.disableConfigMap": "true",
    "spark.kubernetes.executor.useDriverPodIP": "false",  # which would be the address that is bound to
    "spark.kubernetes.driver.service.deleteOnTermination": "false",  # in client mode Spark makes none
    "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
    "spark.kubernetes.driver.reusePersistentVolumeClaim": "false",
    "spark.kubernetes.local.dirs.tmpfs": "true",
    "spark.kubernetes.driver.requestTimeout": "60000",  # ms; Spark's ten seconds lose executors on a busy API server
    "spark.kubernetes.driver.connectionTimeout": "60000",
}
_RPC: Final[Mapping[Rpc, Mapping[str, str]]] = {
    Rpc.AES: {
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.cipher": "AES/GCM/NoPadding",
        "spark.network.crypto.authEngineVersion": "2",
        "spark.network.crypto.saslFallback": "false",
        "spark.ssl.rpc.enabled": "false",
    },
    Rpc.TLS: {"spark.network.crypto.enabled": "false", "spark.ssl.rpc.enabled": "true"},
}


def secured(kind: MasterKind, places: Places, *, rpc: Rpc = Rpc.AES, ui: bool = True) -> dict[str, str]:
    """Return the whole secured configuration of a driver, but for `private`: names of files, no secrets."""
    settings = {**_ALWAYS, **_RPC[rpc]} | _files(places) | _driver(kind, places)
    settings["spark.ui.enabled"] = str(ui).lower()
    if kind is MasterKind.LOCAL:
        settings |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
        settings["spark.python.unix.domain.socket.dir"] = places.temporary
        settings["spark.python.daemon.module"] = WORKER_DAEMON  # its words are on this terminal
    if places.agent is not None:
        settings |= {**_PARQUET, AGENT_SOCKET: places.agent}
        if kind is MasterKind.LOCAL:
            settings[f"spark.executorEnv.{AGENT_ENVIRONMENT}"] = places.agent
    return settings


def private(password: str, application_secret: str | None) -> dict[str, str]:
    """Return the settings that hold secrets: for spark-defaults.conf in a session's folder and nowhere else."""
    names = ("keyStorePassword", "keyPassword", "trustStorePassword")
    settings = {f"spark.ssl.{name}": password for name in names}
    if application_secret is not None:
        settings["spark.authenticate.secret"] = application_secret
    return settings


def secret_files(driver: str) -> dict[str, str]:
    """Return where driver and executors of Kubernetes find Spark's secret of the application: each in its own pod."""
    return {"spark.authenticate.secret.driver.file": driver,
            "spark.authenticate.secret.executor.file": EXECUTOR_SECRET_FILE}  # fmt: skip


def stores(settings: Mapping[str, str]) -> dict[str, str]:
    """Return where the key stores are: the driver's gateway has TLS in insecure sessions too."""
    return {name: value for name, value in settings.items() if name.startswith(("spark.ssl.key", "spark.ssl.trust"))}


def kept(settings: Mapping[str, str]) -> dict[str, str]:
    """Return what nobody changes of a session's settings, neither by --conf nor in a program."""
    return {name: value for name, value in settings.items() if name not in _OPEN}


def merged(user: Mapping[str, str], session: Mapping[str, str]) -> dict[str, str]:
    """Return both; lists are joined, else the user's counts: hold it against `kept` before."""
    both = {**session, **user}
    for name, separator in _ADDED_TO.items():
        if name in user and name in session:
            both[name] = f"{session[name]}{separator}{user[name]}"
    return both


def _files(places: Places) -> dict[str, str]:
    return {
        "spark.ssl.keyStore": places.key_store,
        "spark.ssl.keyStoreType": "PKCS12",
        "spark.ssl.trustStore": places.trust_store,
        "spark.ssl.trustStoreType": "PKCS12",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{places.event_log}",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",  # it is in memory, and read once more to be redacted
        FOLDER: places.folder,
    }


def _driver_words(places: Places) -> list[str]:
    guard = [f"-javaagent:{places.guard}={places.folder}"] if places.guard else []
    crash = [  # both have bits of memory
        f"-XX:ErrorFile={places.temporary}/java_error.log",
        f"-XX:ReplayDataFile={places.temporary}/java_replay.log",
    ]
    # Hive's metastore has names of tables and columns, texts of views, and least and greatest values.
    folders = [f"-Djava.io.tmpdir={places.temporary}", f"-Dderby.system.home={places.temporary}"]
    return [*folders, *crash, *guard]


def _quoted(word: str) -> str:
    """Return a word as Spark's launcher takes it out of a line of options, which it splits at spaces."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != word or any(each.isspace() or each == "'" for each in word) else word


def _driver(kind: MasterKind, places: Places) -> dict[str, str]:
    settings = {
        "spark.sql.warehouse.dir": f"file://{places.temporary}/warehouse",
        "spark.driver.extraClassPath": CLASS_PATH_SEPARATOR.join(places.jars),
        "spark.driver.defaultJavaOptions": " ".join((NO_DUMPS, *map(_quoted, _driver_words(places)))),
        "spark.executor.defaultJavaOptions": NO_DUMPS,
    }
    if kind is MasterKind.KUBERNETES:
        settings |= _KUBERNETES
        if places.application:
            settings |= {APPLICATION: places.application,
                         f"spark.kubernetes.executor.label.{SESSION_LABEL}": places.application}  # fmt: skip
    return settings
