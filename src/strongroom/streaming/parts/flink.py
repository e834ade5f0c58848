"""A job manager or task manager of Flink as a part of a queue's chart: its configuration under the keys of its part.

World: a folder in memory. TLS with certificates on both sides on every port; the stores and their password come from
what was opened for the part. In an enclave the configuration is measured instead (`deploy.gramine.jvm`), and this is
not used. Source: spec section 12.2; threat DP-05.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.pki.keystores.passwords import MOST, password_of
from strongroom.streaming.flink import settings as flink
from strongroom.streaming.flink.settings import Layout, Store, Stores
from strongroom.streaming.parts.children import child

JOBMANAGER: Final = "jobmanager"
TASKMANAGER: Final = "taskmanager"
ADDRESS: Final = "flink-jobmanager"
RPC_PORT: Final = 6123
BLOB_PORT: Final = 6124
REST_PORT: Final = 8081
TASK_RPC_PORT: Final = 6125
_ANY: Final = "0.0.0.0"  # noqa: S104  # of a pod; who may connect says the certificate, and the network policy
_SIZE: Final = re.compile(r"[1-9][0-9]{0,8}(kb|mb|gb|k|m|g)", re.ASCII)


class FlinkPart(BadInput):
    """A part of Flink cannot be configured from what it was given."""

    code = "SR-FLINK-PART"
    fix = "Give --keys the folder that strongroom keys open fills, and sizes as 512mb or 4gb."


@dataclass(frozen=True, slots=True, kw_only=True)
class FlinkSettings:
    """What a part is started with. `run` has to be memory: the configuration holds the stores' password."""

    part: str
    keys: Path
    password_file: Path
    run: Path
    scratch: Path
    home: Path
    python: str
    slots: int = 1
    managed_size: str | None = None
    task_heap_size: str | None = None
    process_size: str | None = None

    def __post_init__(self) -> None:
        """Raises FlinkPart."""
        if self.part not in {JOBMANAGER, TASKMANAGER}:
            raise FlinkPart(f"{self.part[:40]!r} is no part of Flink", fix="Say jobmanager or taskmanager.")
        for size in (self.managed_size, self.task_heap_size, self.process_size):
            if size is not None and not _SIZE.fullmatch(size):
                raise FlinkPart(f"{size[:40]!r} is no size")

    @property
    def command(self) -> tuple[str, ...]:
        """What runs it, in the foreground."""
        return (str(self.home / "bin" / f"{self.part}.sh"), "start-foreground")


def configuration(settings: FlinkSettings, password: str, *, address: str) -> bytes:
    """Return `config.yaml`; `address` is this pod's own."""
    stores = Stores(
        keys=Store(path=str(settings.keys / "keystore.pkcs12"), password=password),
        trust=Store(path=str(settings.keys / "trust.p12"), password=password),
    )
    options = _job_options(settings) if settings.part == JOBMANAGER else _task_options(settings, address)
    layout = Layout(
        rpc_port=RPC_PORT, rest_port=REST_PORT, logs=str(settings.scratch / "log"), scratch=str(settings.scratch),
        state=str(settings.scratch / "state"), python=settings.python, slots=settings.slots, options=options,
    )  # fmt: skip
    if settings.part == JOBMANAGER:
        return flink.job_manager(layout, internal=stores, rest=stores)
    return flink.task_manager(layout, internal=stores)


def prepare(settings: FlinkSettings) -> Path:
    """Write the configuration (0600) beside Flink's own logging files; return its folder. Raises FlinkPart."""
    secret = password_of(disk.read_secret(settings.password_file, limit=2 * MOST))
    folder = settings.run / "conf"
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    for name in ("log", "state"):
        (settings.scratch / name).mkdir(mode=disk.SECRET_FOLDER_MODE, exist_ok=True)
    own = settings.home / "conf"
    if not own.is_dir():
        raise FlinkPart(f"{settings.home} holds no Flink: there is no {own}")
    for path in own.iterdir():
        if path.name.startswith(("log4j", "logback")):
            disk.replace_public(folder / path.name, path.read_bytes())
    with secret.reveal() as raw:
        text = configuration(settings, raw.decode("ascii"), address=_own_address())
    disk.replace_private(folder / "config.yaml", text)
    return folder


def run(settings: FlinkSettings, folder: Path) -> int:
    """Run the part under the configuration in `folder` until it ends or a signal ends it; return its exit status.

    Raises FlinkPart.
    """
    environ = {**os.environ, "FLINK_CONF_DIR": str(folder), "FLINK_HOME": str(settings.home)}
    try:
        with child(settings.command, environ=environ) as process:
            return process.wait()
    except OSError as problem:
        raise FlinkPart(f"{settings.command[0]} does not start: {problem.strerror}") from None


def mebibytes(size: str) -> int:
    """Return a size as Flink writes it in MiB, rounded up: 512mb, 4g."""
    unit = size.lstrip("0123456789")
    kibibytes = int(size.removesuffix(unit)) << {"k": 0, "m": 10, "g": 20}[unit[0]]
    return -(-kibibytes // 1024)


def _job_options(settings: FlinkSettings) -> dict[str, str]:
    sizes = {} if settings.process_size is None else {"jobmanager.memory.process.size": settings.process_size}
    return sizes | {
        "blob.server.port": str(BLOB_PORT),
        "jobmanager.bind-host": _ANY,
        "jobmanager.rpc.address": ADDRESS,
        "rest.bind-address": _ANY,
    }


def _task_options(settings: FlinkSettings, address: str) -> dict[str, str]:
    found = {
        "jobmanager.rpc.address": ADDRESS,
        "taskmanager.bind-host": _ANY,
        "taskmanager.host": address,
        "taskmanager.rpc.port": str(TASK_RPC_PORT),
    }
    if settings.process_size is not None:
        found["taskmanager.memory.process.size"] = settings.process_size
    if settings.managed_size is not None:
        found["taskmanager.memory.managed.size"] = settings.managed_size
    if settings.task_heap_size is not None:
        found["taskmanager.memory.task.heap.size"] = settings.task_heap_size
    if settings.managed_size is not None and settings.task_heap_size is not None and settings.process_size is None:
        found |= _fixed(mebibytes(settings.managed_size) + mebibytes(settings.task_heap_size))
    return found


def _fixed(chosen_mib: int) -> dict[str, str]:
    """Return the other pools' sizes, and the whole: with both large ones named, Flink wants a sum that is right."""
    pools = {
        "taskmanager.memory.framework.heap.size": 128,
        "taskmanager.memory.framework.off-heap.size": 128,
        "taskmanager.memory.task.off-heap.size": 0,
        "taskmanager.memory.network": 64,
        "taskmanager.memory.jvm-metaspace.size": 256,
        "taskmanager.memory.jvm-overhead": 192,
    }
    found = {"taskmanager.memory.process.size": f"{chosen_mib + sum(pools.values())}m"}
    for name, size in pools.items():
        bounds = [name] if name.endswith(".size") else [f"{name}.min", f"{name}.max"]
        found |= dict.fromkeys(bounds, f"{size}m")
    return found


def _own_address() -> str:
    return socket.gethostbyname(socket.gethostname())
