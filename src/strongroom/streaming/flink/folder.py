"""The folder of a cluster on this machine: what is where in it, and the record of its processes.

World: the file system. The folder is 0700 and every file in it 0600. The record names each process with the moment it
started, so that a number that went to another process meanwhile is never signalled.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from strongroom.errors import Unreachable
from strongroom.pki import disk
from strongroom.serving.operations.detached import Started
from strongroom.streaming.flink import settings
from strongroom.streaming.flink.home import FlinkHome
from strongroom.streaming.flink.stores import ClusterIdentities, Identity

RECORD: Final = "cluster.json"
MAX_RECORD_BYTES: Final = 256 * 1024
LOG_FILES: Final = ("log4j-console.properties", "log4j-cli.properties", "log4j-session.properties")
ROLES: Final = ("jobmanager", "taskmanager", "client")


class NoCluster(Unreachable):
    """No Flink cluster runs from this folder."""

    code = "SR-FLINK-NO-CLUSTER"
    fix = "Start one with strongroom flink up, or name its folder (--dir) or another cluster (-m HOST:PORT --tls-dir)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A cluster as it was started."""

    rest_port: int
    environment: str
    processes: tuple[Started, ...]

    def to_json(self) -> bytes:
        """Return the record."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def of_json(cls, data: bytes) -> Self:
        """Read the record. Raises NoCluster if it is none."""
        try:
            tree: Any = json.loads(data)
            processes = tuple(
                Started(str(each["role"]), int(each["pid"]), int(each["start"])) for each in tree["processes"]
            )
            return cls(rest_port=int(tree["rest_port"]), environment=str(tree["environment"]), processes=processes)
        except (ValueError, TypeError, KeyError, RecursionError):
            raise NoCluster("the folder's record cannot be read") from None


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    """Where everything of one cluster is."""

    path: Path

    def configuration(self, role: str) -> Path:
        """Return the configuration folder (FLINK_CONF_DIR) of `jobmanager`, `taskmanager` or `client`."""
        return self.path / role

    @property
    def logs(self) -> Path:
        """Where the processes write what they say."""
        return self.path / "log"

    @property
    def scratch(self) -> Path:
        """Where they put temporary files."""
        return self.path / "tmp"

    @property
    def tls(self) -> Path:
        """The client's certificate as PEM: ca.pem, cert.pem, key.pem."""
        return self.path / "tls"

    @property
    def record(self) -> Path:
        """The file that says what runs."""
        return self.path / RECORD

    def read(self) -> Running:
        """Return what was started. Raises NoCluster."""
        try:
            return Running.of_json(disk.read_bounded(self.record, limit=MAX_RECORD_BYTES))
        except FileNotFoundError:
            raise NoCluster(f"{self.path} holds no running cluster") from None

    def fill(self, identities: ClusterIdentities, home: FlinkHome) -> None:
        """Write stores and log settings into the folder, which is empty and ours."""
        for name in (*ROLES, "log", "tmp", "tls", "state"):
            (self.path / name).mkdir(mode=disk.SECRET_FOLDER_MODE)
        for role in ROLES:
            for name in LOG_FILES:
                shutil.copyfile(home.distribution / "conf" / name, self.configuration(role) / name)
        for role in ("jobmanager", "taskmanager"):
            write_stores(self.configuration(role), "internal", identities.internal)
        write_stores(self.configuration("jobmanager"), "rest", identities.rest_server)
        write_stores(self.configuration("client"), "rest", identities.rest_client)
        disk.write_public(self.tls / "ca.pem", identities.rest_ca_pem)
        disk.write_public(self.tls / "cert.pem", identities.client.certificate_pem)
        disk.write_secret(self.tls / "key.pem", identities.client.key_pem)

    def configure(self, identities: ClusterIdentities, layout: settings.Layout) -> None:
        """Write the three configurations, over what is there."""
        internal = {
            role: stores_in(self.configuration(role), "internal", identities.internal)
            for role in ("jobmanager", "taskmanager")
        }
        rest = stores_in(self.configuration("jobmanager"), "rest", identities.rest_server)
        client = stores_in(self.configuration("client"), "rest", identities.rest_client)
        texts = {
            "jobmanager": settings.job_manager(layout, internal=internal["jobmanager"], rest=rest),
            "taskmanager": settings.task_manager(layout, internal=internal["taskmanager"]),
            "client": settings.client(
                settings.REST_NAME, layout.rest_port, rest=client, python=layout.python, scratch=layout.scratch
            ),
        }
        for role, text in texts.items():
            disk.replace_private(self.configuration(role) / "config.yaml", text)


def stores_in(folder: Path, name: str, identity: Identity) -> settings.Stores:
    """Return how a configuration names the stores that `write_stores` put into a folder."""
    return settings.Stores(
        keys=settings.Store(path=str(folder / f"{name}.p12"), password=identity.password),
        trust=settings.Store(path=str(folder / f"{name}-trust.p12"), password=identity.password),
    )


def write_stores(folder: Path, name: str, identity: Identity) -> None:
    """Write a key store and its trust store into a folder."""
    disk.write_secret(folder / f"{name}.p12", identity.keys)
    disk.replace_private(folder / f"{name}-trust.p12", identity.trust)
