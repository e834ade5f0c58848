"""The `config.yaml` of a Flink cluster whose every port speaks TLS, and of its clients. Pure.

Three files for three readers, so that each holds the keys it needs and no others: the job manager's (internal
certificate, REST server's), a task manager's (internal only) and a client's (its own REST certificate). Source: spec
`cluster-serving.md` section 12.2; Flink's "SSL Setup"; threat DP-05.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.errors import BadInput, Refused

LOOPBACK: Final = "127.0.0.1"
REST_NAME: Final = "localhost"  # what the REST server's certificate and its clients say
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_OURS: Final = ("security.", "rest.", "web.", "env.", "python.executable", "python.client.executable")
SHORT_LIVED: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # what computes little is compiled little
_PROTOCOL: Final = {"security.ssl.protocol": "TLSv1.3", "security.ssl.algorithms": "TLS_AES_256_GCM_SHA384"}
_EXPORTS: Final = (
    "java.base/sun.net.util", "java.rmi/sun.rmi.registry", "java.security.jgss/sun.security.krb5",
    "jdk.compiler/com.sun.tools.javac.api", "jdk.compiler/com.sun.tools.javac.file",
    "jdk.compiler/com.sun.tools.javac.parser", "jdk.compiler/com.sun.tools.javac.tree",
    "jdk.compiler/com.sun.tools.javac.util",
)  # fmt: skip
_OPENS: Final = (
    "lang", "net", "io", "nio", "lang.reflect", "text", "time", "util", "util.concurrent", "util.concurrent.atomic",
    "util.concurrent.locks",
)  # fmt: skip


class BadFlinkOption(BadInput):
    """An option for Flink's configuration is not KEY=VALUE, or its key is no key of Flink's."""

    code = "SR-FLINK-OPTION"
    fix = "Write options as Flink's documentation names them, such as --set taskmanager.memory.managed.size=4gb."


class WeakFlinkOption(Refused):
    """An option would change what protects the cluster."""

    code = "SR-FLINK-WEAK"
    fix = "Leave security.*, rest.*, web.*, env.* and python.*executable to strongroom flink up."


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A PKCS#12 file by its path, and the password that opens it."""

    path: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """A key store, and apart from it the certificates that are trusted."""

    keys: Store
    trust: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What every process of one cluster agrees on."""

    rpc_port: int
    rest_port: int
    logs: str
    scratch: str
    state: str
    python: str
    slots: int
    options: Mapping[str, str]


def read_options(texts: Sequence[str]) -> dict[str, str]:
    """Return the options of `--set KEY=VALUE`. Raises BadFlinkOption, WeakFlinkOption."""
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not _KEY.fullmatch(key) or not value.isprintable() or len(value) > 4096:
            raise BadFlinkOption(f"{text[:80]!r} is not KEY=VALUE")
        if key.startswith(_OURS) or key.endswith(("bind-host", "rpc.address", "taskmanager.host")):
            raise WeakFlinkOption(f"{key} is not for --set: it could open the cluster")
        found[key] = value
    return found


def job_manager(layout: Layout, *, internal: Stores, rest: Stores) -> bytes:
    """Return the job manager's configuration."""
    return spelled(
        _common(layout)
        | {
            "env.java.opts.jobmanager": SHORT_LIVED,
            "jobmanager.bind-host": LOOPBACK,
            "jobmanager.memory.process.size": "1024m",
            "rest.bind-address": LOOPBACK,
            "rest.bind-port": str(layout.rest_port),
            "web.upload.dir": f"{layout.scratch}/upload",
            "web.tmpdir": f"{layout.scratch}/web",
            "execution.checkpointing.dir": f"file://{layout.state}/checkpoints",
            "execution.checkpointing.savepoint-dir": f"file://{layout.state}/savepoints",
        }
        | dict(layout.options)
        | _internal(internal)
        | _rest(REST_NAME, layout.rest_port, rest)
    )


def task_manager(layout: Layout, *, internal: Stores) -> bytes:
    """Return a task manager's configuration: it is no client and no server of the REST API."""
    return spelled(
        _common(layout)
        | {
            "taskmanager.bind-host": LOOPBACK,
            "taskmanager.host": LOOPBACK,
            "taskmanager.numberOfTaskSlots": str(layout.slots),
            "taskmanager.memory.process.size": "1600m",
        }
        | dict(layout.options)
        | _internal(internal)
    )


def client(address: str, port: int, *, rest: Stores, python: str, scratch: str) -> bytes:
    """Return the configuration of who submits jobs and asks: where the REST API is, and how to prove oneself there."""
    return spelled(
        {
            "env.java.opts.all": java_options(scratch),
            "env.java.opts.client": SHORT_LIVED,
            "env.log.dir": scratch,
            "env.pid.dir": scratch,
            "io.tmp.dirs": scratch,
            "execution.target": "remote",
            "jobmanager.rpc.address": address,
            "python.executable": python,
            "python.client.executable": python,
        }
        | _rest(address, port, rest)
    )


def java_options(scratch: str) -> str:
    """Return the options that Java 17 needs for Flink, and where it may put temporary files."""
    exports = [f"--add-exports={each}=ALL-UNNAMED" for each in _EXPORTS]
    opens = [f"--add-opens=java.base/java.{each}=ALL-UNNAMED" for each in _OPENS]
    nio = "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"
    return " ".join([*exports, *opens, nio, f"-Djava.io.tmpdir={scratch}"])


def spelled(options: Mapping[str, str]) -> bytes:
    """Return a `config.yaml`: flat keys, values in double quotes (a YAML double-quoted text takes what JSON's does)."""
    return "".join(f"{key}: {json.dumps(options[key])}\n" for key in sorted(options)).encode()


def _common(layout: Layout) -> dict[str, str]:
    return {
        "env.java.opts.all": java_options(layout.scratch),
        "env.log.dir": layout.logs,
        "env.pid.dir": layout.scratch,
        "io.tmp.dirs": layout.scratch,
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": str(layout.rpc_port),
        "python.executable": layout.python,
        "python.client.executable": layout.python,
        "parallelism.default": "1",
    }


def _internal(stores: Stores) -> dict[str, str]:
    return {"security.ssl.internal.enabled": "true"} | _stores("security.ssl.internal", stores) | _PROTOCOL


def _rest(address: str, port: int, stores: Stores) -> dict[str, str]:
    return {
        "rest.address": address,
        "rest.port": str(port),
        "security.ssl.rest.enabled": "true",
        "security.ssl.rest.authentication-enabled": "true",
    } | (_stores("security.ssl.rest", stores) | _PROTOCOL)


def _stores(prefix: str, stores: Stores) -> dict[str, str]:
    return {
        f"{prefix}.keystore": stores.keys.path,
        f"{prefix}.keystore-type": "PKCS12",
        f"{prefix}.keystore-password": stores.keys.password,
        f"{prefix}.key-password": stores.keys.password,
        f"{prefix}.truststore": stores.trust.path,
        f"{prefix}.truststore-type": "PKCS12",
        f"{prefix}.truststore-password": stores.trust.password,
    }
