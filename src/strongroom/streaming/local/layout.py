"""The folder of a queue on this machine: Redis' home, one configuration a role, the front's certificate, the logs.

World: files, all for their owner alone. It is made once and used again; certificates that end within a month are made
anew, data and passwords stay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from strongroom.clusterserving.access import Role, user_name
from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.config_text import config_text
from strongroom.clusterserving.names import Job
from strongroom.errors import BadInput
from strongroom.pki import disk, keys
from strongroom.pki.authority import Authority
from strongroom.ports import free_port
from strongroom.streaming.link.place import Place
from strongroom.streaming.link.server import LOOPBACK, Home

RENEW_WITHIN: Final = timedelta(days=30)
MAX_NOTE_BYTES: Final = 64 * 1024
CONFIGS: Final = {
    "worker": Role.WORKER, "frontend": Role.FRONTEND, "client": Role.CLIENT, "probe": Role.PROBE, "admin": Role.ADMIN,
}  # fmt: skip


class NotAQueueFolder(BadInput):
    """A folder is not one that queue up has made, or holds another queue."""

    code = "SR-QUEUE-FOLDER"
    fix = "Name another folder with --folder, or the one that queue up made for this job."


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a queue on this machine are."""

    folder: Path
    home: Home
    front_port: int

    @property
    def front_certificate(self) -> Path:
        """The front's certificate; its key lies beside it."""
        return self.folder / "front" / "server.crt"

    @property
    def front_key(self) -> Path:
        """The front's private key."""
        return self.folder / "front" / "server.key"

    def config(self, name: str) -> Path:
        """Return the configuration of a role: `worker`, `frontend`, `client`, `probe` or `admin`."""
        return self.folder / f"{name}.yaml"

    def log(self, name: str) -> Path:
        """Return the log of a part."""
        return self.folder / "logs" / f"{name}.log"

    @property
    def note(self) -> Path:
        """What runs at the moment: process and its start, as JSON."""
        return self.folder / "running.json"

    def write_configs(self, config: QueueConfig) -> None:
        """Write one configuration a role, each with its own user of Redis."""
        for name, role in CONFIGS.items():
            shown = at(config, self.home.place(role))
            if role is Role.WORKER:
                shown = with_compat(shown, self.home.place(Role.COMPAT))
            text = config_text(shown)
            disk.replace_private(self.config(name), text.encode())


def at(config: QueueConfig, place: Place) -> QueueConfig:
    """Return a configuration whose Redis is that of a place."""
    return replace(
        config, redis_host=place.host, redis_port=place.port, redis_tls=place.tls, redis_unix=place.unix,
        redis_database=place.database, redis_user=place.user, redis_password_file=place.password_file,
        redis_ca_file=place.ca_file, redis_cert_file=place.cert_file, redis_key_file=place.key_file,
        redis_trust_store=None, redis_trust_store_password_file=None,
    )  # fmt: skip


def with_compat(config: QueueConfig, place: Place) -> QueueConfig:
    """Return a configuration whose port for the original's client shows Redis this user."""
    return replace(
        config, compat_user=place.user, compat_password_file=place.password_file, compat_cert_file=place.cert_file,
        compat_key_file=place.key_file,
    )  # fmt: skip


def open_layout(
    folder: Path, config: QueueConfig, *, now: datetime, redis_port: int = 0, front_port: int = 0
) -> Layout:
    """Make the folder, or take it as it is; write the configurations anew.

    Raises NotAQueueFolder, AlreadyThere, LoosePermissions.
    """
    folder = folder.absolute()
    if not (folder / "queue.json").exists():
        _make(folder, config, now, redis_port)
    disk.check_private(folder)
    home, old_front = _known(folder, config.job)
    home = replace(home, port=redis_port or home.port)
    _settle(home, config.redis_max_memory)
    layout = Layout(folder, home, front_port or old_front or free_port(LOOPBACK[1]))
    _remember(layout)
    _renew(layout, now)
    layout.write_configs(config)
    return layout


def _make(folder: Path, config: QueueConfig, now: datetime, redis_port: int) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise NotAQueueFolder(f"{folder} is not empty, and queue up has not made it")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(disk.SECRET_FOLDER_MODE)
    home = Home.make(
        folder / "redis", config.job, now=now, port=redis_port, max_memory=config.redis_max_memory
    )  # fmt: skip
    for name in ("front", "logs"):
        (folder / name).mkdir(mode=disk.SECRET_FOLDER_MODE)
    _remember(Layout(folder, home, 0))


def _settle(home: Home, max_memory: int) -> None:
    """Write port and memory, which may be others at each start, into redis.conf; the rest of it stays."""
    path = home.folder / "redis.conf"
    wanted = {"tls-port": str(home.port), "maxmemory": str(max_memory)}
    words = [(line.split(" ", 1)[0], line) for line in path.read_text(encoding="utf-8").splitlines()]
    disk.replace_private(
        path, "".join(f"{n} {wanted[n]}\n" if n in wanted else f"{line}\n" for n, line in words).encode()
    )


def _remember(layout: Layout) -> None:
    known = {"job": layout.home.job.name, "redis_port": layout.home.port, "front_port": layout.front_port}
    disk.replace_private(layout.folder / "queue.json", json.dumps(known).encode())


def _known(folder: Path, job: Job) -> tuple[Home, int]:
    try:
        known = json.loads(disk.read_bounded(folder / "queue.json", limit=MAX_NOTE_BYTES))
        name, port, front = str(known["job"]), int(known["redis_port"]), int(known["front_port"])
    except (ValueError, KeyError, TypeError):
        raise NotAQueueFolder(f"{folder / 'queue.json'} cannot be read") from None
    if name != job.name:
        raise NotAQueueFolder(f"{folder} holds the queue {name}, not {job.name}")
    return Home(folder=folder / "redis", job=job, port=port), front


def _renew(layout: Layout, now: datetime) -> None:
    """Make what ends soon anew: Redis' and the front's certificates, and those of the users."""
    home = layout.home
    authority = Authority.load(home.ca_file.read_bytes(), disk.read_secret(home.folder / "tls" / "ca.key", limit=65536))
    if not layout.front_certificate.exists():
        leaf = authority.issue_server(LOOPBACK, now=now)
        disk.write_secret(layout.front_key, leaf.key_pem)
        disk.write_public(layout.front_certificate, leaf.certificate_pem)
    ends = _ends_soon(layout.front_certificate, now)
    if ends:
        key = disk.read_secret(layout.front_key, limit=65536)
        disk.replace_public(layout.front_certificate, authority.renew_server(key, LOOPBACK, now=now).certificate_pem)
    if _ends_soon(home.folder / "tls" / "server.crt", now):
        home.renew(now=now)
    for role in Role:
        own = home.folder / "users" / user_name(role)
        if _ends_soon(own.with_name(f"{own.name}.crt"), now):
            leaf = authority.issue_client(own.name, now=now)
            with leaf.key_pem.reveal() as pem:
                disk.replace_private(own.with_name(f"{own.name}.key"), pem)
            disk.replace_public(own.with_name(f"{own.name}.crt"), leaf.certificate_pem)


def _ends_soon(certificate: Path, now: datetime) -> bool:
    return keys.load_certificates(certificate.read_bytes())[0].not_valid_after_utc - now < RENEW_WITHIN
