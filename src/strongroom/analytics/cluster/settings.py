"""What a cluster is started with, and kept as: everything that its programs' measurements follow from. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self, TypeVar

from strongroom.errors import BadInput
from strongroom.serving.operations.detached import Started
from strongroom.wire import strict_json

Kind = TypeVar("Kind", "Settings", "Started")
MAX_BYTES: Final = 256 * 1024
MAX_WORKERS: Final = 64
LOOPBACK: Final = "127.0.0.1"


class BadClusterRecord(BadInput):
    """The note that a cluster's folder keeps about it is not in its form."""

    code = "SR-SPARK-CLUSTER-RECORD"
    fix = "End what still runs by its process id, remove the folder, and start the cluster anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Paths are absolute. `world`: a simulated platform, empty where this machine itself is a trust domain.

    `host`: where this host's part listens; `join`: the Master on another host, empty where it is here.
    """

    broker: str
    job: str
    keys: tuple[str, ...] = ()
    tenant: str = "default"
    deployment: str = ""
    workers: int = 2
    cores: int = 1
    memory_mib: int = 1024
    host: str = LOOPBACK
    join: str = ""
    port: int
    ui_port: int
    world: str = ""
    beside_real_tee: bool = False
    python: str
    package: str  # strongroom's own folder
    java: str
    home: str  # Spark's folder

    @property
    def page_port(self) -> int:
        """Where the Master's page is over TLS: Spark counts on from the port that only points there."""
        return self.ui_port + 400 if self.ui_port + 400 < 65536 else 1024 + (self.ui_port + 400) % 65536

    @property
    def master(self) -> str:
        """What jobs name as --master."""
        return self.join or f"spark://{self.host}:{self.port}"

    @property
    def daemons(self) -> int:
        """How many of Spark's daemons run here."""
        return self.workers + (0 if self.join else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the folder notes."""

    settings: Settings
    processes: tuple[Started, ...] = field(default=())

    def to_json(self) -> bytes:
        """Return it as it is kept."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read it. Raises BadClusterRecord."""
        found = strict_json.loads(
            data, what="a cluster's note", error=BadClusterRecord, max_bytes=MAX_BYTES, max_depth=4
        )
        if not isinstance(found, dict) or found.keys() != {"settings", "processes"}:
            raise BadClusterRecord("a cluster's note has settings and processes")
        if not isinstance(found["processes"], list) or len(found["processes"]) > MAX_WORKERS + 1:
            raise BadClusterRecord("the processes of a cluster's note are none")
        return cls(
            settings=_of(Settings, found["settings"]),
            processes=tuple(_of(Started, each) for each in found["processes"]),
        )


def _of(kind: type[Kind], found: object) -> Kind:
    wanted = {each.name: str(each.type) for each in fields(kind)}
    if not isinstance(found, dict) or found.keys() != wanted.keys():
        raise BadClusterRecord(f"a cluster's note has {', '.join(wanted)}")
    values: dict[str, Any] = {name: _value(value, wanted[name]) for name, value in found.items()}
    return kind(**values)


def _value(value: object, kind: str) -> object:
    if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    if type(value).__name__ != kind:
        raise BadClusterRecord("a value of a cluster's note is of another kind")
    return value
