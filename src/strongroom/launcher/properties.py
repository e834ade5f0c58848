"""The properties that may come from outside: their names, and the form of each value. Pure.

Where a property protects something, the only value allowed is the one that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from strongroom.launcher import refusals
from strongroom.launcher.roles import LaunchArgumentRefused, Settings
from strongroom.launcher.values import (
    Form,
    decimal,
    duration,
    exactly,
    host,
    identifier,
    number,
    path_below,
    port,
    ports,
    size_bytes,
    truth,
)

_JAVA: Final[Mapping[str, Form]] = {
    "file.encoding": exactly("UTF-8"),
    "java.net.preferIPv4Stack": truth,
    "java.net.preferIPv6Addresses": truth,
    "jdk.reflect.useDirectMethodHandle": exactly("false"),
    "io.netty.tryReflectionSetAccessible": exactly("true"),
    "io.netty.allocator.type": exactly("pooled"),
    "io.netty.noUnsafe": exactly("false"),
}
_SPARK: Final[Mapping[str, Form]] = {
    "spark.app.id": identifier,
    "spark.app.name": identifier,
    "spark.driver.host": host,
    "spark.driver.bindAddress": host,
    "spark.driver.port": port,
    "spark.driver.blockManager.port": port,
    "spark.blockManager.port": port,
    "spark.port.maxRetries": number,
    "spark.ui.port": port,
    "spark.ui.enabled": exactly("false"),
    "spark.network.timeout": duration,
    "spark.network.timeoutInterval": duration,
    "spark.rpc.askTimeout": duration,
    "spark.rpc.lookupTimeout": duration,
    "spark.rpc.message.maxSize": number,
    "spark.rpc.numRetries": number,
    "spark.executor.heartbeatInterval": duration,
    "spark.executor.instances": number,
    "spark.executor.cores": number,
    "spark.authenticate": exactly("true"),
    "spark.authenticate.application": identifier,  # ours: which secret is derived, and no part of it
    "spark.network.crypto.enabled": exactly("true"),
    "spark.network.crypto.authEngineVersion": exactly("2"),
    "spark.network.crypto.cipher": exactly("AES/GCM/NoPadding"),
    "spark.network.crypto.saslFallback": exactly("false"),
    "spark.io.encryption.enabled": exactly("true"),
    "spark.ssl.enabled": exactly("true"),
    "spark.ssl.rpc.enabled": exactly("true"),
}
_FLINK: Final[Mapping[str, Form]] = {
    "blob.server.port": ports,
    "external-resources": exactly("none"),
    "jobmanager.bind-host": host,
    "jobmanager.rpc.address": host,
    "jobmanager.rpc.port": port,
    "rest.address": host,
    "rest.bind-address": host,
    "rest.bind-port": ports,
    "rest.port": port,
    "taskmanager.bind-host": host,
    "taskmanager.cpu.cores": decimal,
    "taskmanager.data.port": port,
    "taskmanager.host": host,
    "taskmanager.numberOfTaskSlots": number,
    "taskmanager.resource-id": identifier,
    "taskmanager.rpc.port": ports,
}
_FLINK_MEMORY: Final = tuple(
    f"{who}.memory.{what}"
    for who, parts in {
        "jobmanager": ("heap.size", "jvm-metaspace.size", "jvm-overhead.max", "jvm-overhead.min", "off-heap.size"),
        "taskmanager": (
            "framework.heap.size", "framework.off-heap.size", "jvm-metaspace.size", "jvm-overhead.max",
            "jvm-overhead.min", "managed.size", "network.max", "network.min", "task.heap.size", "task.off-heap.size",
        ),
    }.items()
    for what in parts
)  # fmt: skip
_LOGGING: Final = ("log4j.configuration", "log4j.configurationFile", "log4j2.configurationFile",
                   "logback.configurationFile")  # fmt: skip


def check_system_property(pair: str, settings: Settings) -> None:
    """Check NAME=VALUE of -D before the main class. Raises LaunchArgumentRefused."""
    known: dict[str, Form] = dict(_JAVA)
    if settings.role.is_spark:
        known |= _SPARK
    else:
        known["log.file"] = lambda value: path_below(value, settings.scratch)
    for name in _LOGGING:
        known[name] = lambda value: path_below(value.removeprefix("file:"), f"{settings.home}/conf")
    _check(pair, known, "-D")


def check_spark_conf(pair: str) -> None:
    """Check NAME=VALUE of --conf. Raises LaunchArgumentRefused."""
    _check(pair, _SPARK, "--conf ")


def check_flink_property(pair: str, settings: Settings) -> None:
    """Check NAME=VALUE of -D after the main class: Flink's own settings. Raises LaunchArgumentRefused."""
    most = 2 * settings.max_heap_mib << 20

    def fits(value: str) -> bool:
        size = size_bytes(value)
        return size is not None and size <= most

    _check(pair, {**_FLINK, **dict.fromkeys(_FLINK_MEMORY, fits)}, "-D ")


def _check(pair: str, known: Mapping[str, Form], option: str) -> None:
    name, equals, value = pair.partition("=")
    form = known.get(name)
    if form is not None and equals and form(value):
        return
    shown = ascii(name[:80])[1:-1]
    why = refusals.reason(refusals.PROPERTIES, name)
    if form is None:
        raise LaunchArgumentRefused(f"{option}{shown} is refused: {why or 'it is not among those allowed'}")
    raise LaunchArgumentRefused(f"{option}{shown} has a value that is not allowed{f': {why}' if why else ''}")
