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
GUARD_CLASS: Final = "strongroom.submit.Guard"
FOLDER: Final = "spark.strongroom.folder"  # where the JVM finds the session's files
LOCKED_NAMES: Final = "spark.strongroom.locked"
AGENT_SOCKET: Final = "spark.hadoop.strongroom.agent"  # what the Parquet key client reads
AGENT_ENVIRONMENT: Final = "STRONGROOM_AGENT"
NO_DUMPS: Final = "-XX:-HeapDumpOnOutOfMemoryError -XX:-UsePerfData -XX:+DisableAttachMechanism"


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
    local_dirs: tuple[str, ...]  # spill, shuffle, broadcast: in memory, or on an encrypted disk
    key_store: str
    trust_store: str
    gateway_jar: str
    event_log: str
    temporary: str
    agent: str | None = None  # the key agent's socket


_ALWAYS: Final[Mapping[str, str]] = {
    "spark.authenticate": "true",
    "spark.io.encryption.enabled": "true",
    "spark.io.encryption.keySizeBits": "256",
    "spark.ssl.enabled": "true",
    "spark.ssl.protocol": TLS_PROTOCOL,
    "spark.ui.reverseProxy": "false",
    "spark.ui.killEnabled": "false",
    "spark.ui.threadDumpsEnabled": "false",
    "spark.ui.heapHistogramEnabled": "false",
    "spark.redaction.regex": REDACTION,
    "spark.sql.redaction.options.regex": REDACTION,
    "spark.python.unix.domain.socket.enabled": "true",
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


def locked(rpc: Rpc) -> dict[str, str]:
    """Return the settings that nobody changes, neither by --conf nor in a program."""
    return {**_ALWAYS, **_RPC[rpc]}


def secured(kind: MasterKind, places: Places, *, rpc: Rpc = Rpc.AES, ui: bool = True) -> dict[str, str]:
    """Return the whole secured configuration of a driver, but for `private`: names of files, no secrets."""
    settings = locked(rpc) | _files(places) | _driver(kind, places)
    settings["spark.ui.enabled"] = str(ui).lower()
    settings[LOCKED_NAMES] = ",".join(sorted(locked(rpc)))
    settings["spark.extraListeners"] = GUARD_CLASS
    if kind is MasterKind.LOCAL:
        settings |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
        settings["spark.python.unix.domain.socket.dir"] = places.temporary
    if places.agent is not None:
        settings[AGENT_SOCKET] = places.agent
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


def _files(places: Places) -> dict[str, str]:
    return {
        "spark.ssl.keyStore": places.key_store,
        "spark.ssl.keyStoreType": "PKCS12",
        "spark.ssl.trustStore": places.trust_store,
        "spark.ssl.trustStoreType": "PKCS12",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{places.event_log}",
        "spark.eventLog.rolling.enabled": "false",
        FOLDER: places.folder,
    }


def _driver(kind: MasterKind, places: Places) -> dict[str, str]:
    settings = {
        "spark.local.dir": ",".join(places.local_dirs),
        "spark.sql.warehouse.dir": f"file://{places.temporary}/warehouse",
        "spark.driver.extraClassPath": places.gateway_jar,
        "spark.driver.defaultJavaOptions": f"{NO_DUMPS} -Djava.io.tmpdir={places.temporary}",
        "spark.executor.defaultJavaOptions": NO_DUMPS,
    }
    if kind is MasterKind.KUBERNETES:
        settings["spark.kubernetes.executor.deleteOnTermination"] = "true"
    return settings
