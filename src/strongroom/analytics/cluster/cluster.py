"""A cluster's folder on this host: what is prepared in it, and what of it runs.

World: that folder, and an address to listen on, 127.0.0.1 by default.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.roll_call import Arrival, RollCall
from strongroom.analytics.cluster import programs
from strongroom.analytics.cluster.settings import MAX_BYTES, Record, Settings
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.ports import free_port
from strongroom.serving.operations import detached
from strongroom.serving.operations.detached import Started

RECORD: Final = "cluster.json"
_PORT_ATTEMPTS: Final = 20


class NoSparkCluster(BadInput):
    """There is no cluster in this folder."""

    code = "SR-SPARK-NO-CLUSTER"
    fix = "Start one with strongroom spark cluster up, or name its folder with --dir."


class OtherSettings(BadInput):
    """A cluster runs from this folder with other settings than those that were asked for."""

    code = "SR-SPARK-CLUSTER-RUNS"
    fix = "Use it as it is, end it with strongroom spark cluster down, or name another folder with --dir."


class NotACluster(BadInput):
    """The folder for a cluster holds something else."""

    code = "SR-SPARK-CLUSTER-FOLDER"
    fix = "Name a folder that does not exist or is empty; strongroom spark cluster down removes what it holds."


class NoSuchAddress(BadInput):
    """A cluster was to listen on an address that is not this machine's."""

    code = "SR-SPARK-CLUSTER-ADDRESS"
    fix = "Name an address of this machine with --host; ip address lists them."


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's folder and what was noted about it."""

    folder: Path
    record: Record

    @classmethod
    def of(cls, folder: Path) -> Cluster:
        """Return the cluster of a folder. Raises NoSparkCluster, BadClusterRecord."""
        folder = folder.absolute()
        try:
            return cls(folder, Record.parse(disk.read_bounded(folder / RECORD, limit=MAX_BYTES)))
        except FileNotFoundError:
            raise NoSparkCluster(f"there is no cluster in {folder}") from None

    @property
    def runs(self) -> bool:
        """Whether every process of it is alive."""
        return len(self.alive) == self.record.settings.daemons

    @property
    def alive(self) -> tuple[Started, ...]:
        """Those of its processes that run."""
        return tuple(each for each in self.record.processes if detached.alive(each))

    @property
    def roll_call(self) -> RollCall:
        """Who came to work here."""
        return RollCall(self.folder / programs.ROLL_CALL)

    def arrivals(self) -> list[Arrival]:
        """Return everybody in the roll call. Raises BadRollCall."""
        return self.roll_call.read()[0]

    def program(self, role: str) -> Path:
        """Return the manifest of a program, to be measured and admitted by the owner."""
        return self.folder / "programs" / role / programs.PROGRAM


def prepare(folder: Path, settings: Settings, ca_pem: bytes, jars: Mapping[str, bytes]) -> Cluster:
    """Write a cluster's programs, so that their measurements are known before anything runs.

    `ca_pem`: what the broker's certificate comes from; `jars`: our classes for the JVMs, by name.
    A port of 0 becomes a free one, and stays that. Raises NotACluster, OtherSettings, NoSuchAddress.
    """
    folder = folder.absolute()
    before = _before(folder)
    settings = _with_ports(settings, before)
    if before is not None:
        if before.record.settings == settings:
            return before
        if before.alive:
            raise OtherSettings(f"the cluster of {folder} runs with other settings")
    cluster = Cluster(folder, Record(settings=settings))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    java_home = folder / "java"
    for each in (java_home / "bin", folder / "launches"):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    disk.replace_private(folder / RECORD, cluster.record.to_json())
    disk.replace_public(folder / programs.CA, ca_pem)
    for name, jar in jars.items():
        disk.replace_public(folder / name, jar)
    for role in programs.roles(settings):
        cluster.program(role).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk.replace_private(cluster.program(role), programs.manifest(settings, role, str(java_home)).encode())
    script = java_home / "bin" / "java"
    disk.replace_private(script, programs.java_script(settings, str(folder)).encode())
    script.chmod(0o700)
    return cluster


def _before(folder: Path) -> Cluster | None:
    try:
        return Cluster.of(folder)
    except NoSparkCluster:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise NotACluster(f"{folder} is there already, and no cluster of ours") from None
        return None


def _with_ports(settings: Settings, before: Cluster | None) -> Settings:
    """Return settings whose ports are numbers: those of before, or free ones."""
    try:
        port = free_port(settings.host)
        if before is not None:
            known = before.record.settings
            return replace(settings, port=settings.port or known.port, ui_port=settings.ui_port or known.ui_port)
        found = replace(settings, port=settings.port or port)
        return found if found.ui_port else _with_page(found)
    except OSError as problem:
        raise NoSuchAddress(f"nothing can listen on {settings.host}: {problem.strerror}") from None


def _with_page(settings: Settings) -> Settings:
    """Return settings whose page, and the port that only points there, are free. Raises OSError, NoSuchAddress."""
    for _ in range(_PORT_ATTEMPTS):
        found = replace(settings, ui_port=free_port(settings.host))
        if settings.port in (found.ui_port, found.page_port):
            continue
        with suppress(OSError), socket.create_server((found.host, found.page_port)):
            return found
    raise NoSuchAddress(
        f"found no two ports of {settings.host} for the Master's page that are free and 400 apart",
        fix="Name the lower of two such ports with --ui-port.",
    )
