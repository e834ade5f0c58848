"""Redis as a part of a queue's chart: its configuration, its process, and renewed certificates while it runs.

World: a folder in memory, a process. TLS alone on the port, client certificates required, users as `access` has them,
every write on the disk before it is confirmed. On a Unix socket in memory, which only this pod sees, the administrator
tells it to read its certificates again. Source: spec section 11.7; threats DP-04.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.clusterserving.access import Role, User, acl_file
from strongroom.clusterserving.names import Job
from strongroom.errors import BadInput, StrongroomError
from strongroom.pki import disk
from strongroom.pki.keystores import logins
from strongroom.streaming.link.connection import SyncLink
from strongroom.streaming.link.place import Place
from strongroom.streaming.parts.children import child

LOOK_EVERY_S: Final = 2.0
MAX_LOGINS_BYTES: Final = 64 * 1024
IDENTITY: Final = "tls.pem"  # key and certificate in one: they change together
SOCKET: Final = "redis.sock"
ADMIN_FILE: Final = "admin.password"
ROLES: Final = {"worker": Role.WORKER, "frontend-client": Role.FRONTEND, "client": Role.CLIENT}
_SIZE: Final = re.compile(r"([1-9][0-9]{0,11})(kb|mb|gb)?", re.ASCII | re.I)
_UNITS: Final = {"": 0, "kb": 10, "mb": 20, "gb": 30}
_PATH: Final = re.compile(r"/[A-Za-z0-9._/-]{1,200}", re.ASCII)


class RedisPart(BadInput):
    """Redis cannot be started from this folder of opened keys."""

    code = "SR-REDIS-PART"
    fix = "Give --keys the folder that strongroom keys open --part redis fills, and plain absolute paths."


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSettings:
    """What Redis is started with. `run` has to be memory: the users' file and the socket lie there."""

    job: Job
    keys: Path
    run: Path
    data: Path
    port: int = 6379
    max_memory_bytes: int = 256 * 1024 * 1024
    ca: Path | None = None  # what clients' certificates come from, where it is not ca.crt among the keys

    def __post_init__(self) -> None:
        """Raises RedisPart for a path that could end a line of redis.conf."""
        for path in (self.keys, self.run, self.data, *([self.ca] if self.ca else [])):
            if not _PATH.fullmatch(str(path)):
                raise RedisPart(f"{str(path)[:160]!r} is no plain absolute path")


def memory_bytes(text: str) -> int:
    """Return the bytes of a size as Redis writes it: 256mb, 4gb. Raises RedisPart."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise RedisPart(f"{text[:40]!r} is no amount of memory", fix="Write it as 256mb or 4gb.")
    return int(found[1]) << _UNITS[(found[2] or "").lower()]


def configuration(settings: RedisSettings) -> str:
    """Return redis.conf."""
    identity = settings.keys / IDENTITY
    lines = {
        "bind": "* -::*",
        "port": "0",
        "tls-port": settings.port,
        "tls-cert-file": identity,
        "tls-key-file": identity,
        "tls-ca-cert-file": settings.ca or settings.keys / "ca.crt",
        "tls-auth-clients": "yes",
        "tls-protocols": '"TLSv1.2 TLSv1.3"',
        "unixsocket": settings.run / SOCKET,
        "unixsocketperm": "600",
        "dir": settings.data,
        "appendonly": "yes",
        "appendfsync": "always",
        "save": '""',
        "maxmemory": settings.max_memory_bytes,
        "maxmemory-policy": "noeviction",
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
        "daemonize": "no",
        "logfile": '""',
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def users(text: bytes, job: Job, admin_sha256: str) -> str:
    """Return the users file from what `keys generate` wrote about logins. Raises RedisPart, BadAccess, BadJobName."""
    try:
        digests = dict(json.loads(text))
        found = [User(role=role, password_sha256=str(digests[name])) for name, role in ROLES.items() if name in digests]
    except (ValueError, TypeError, RecursionError):
        raise RedisPart(f"{logins.DIGESTS} cannot be read") from None
    return acl_file(job, [*found, User(role=Role.ADMIN, password_sha256=admin_sha256)])


def prepare(settings: RedisSettings) -> bytes:
    """Make this pod's own administrator; return the whole configuration, which Redis reads from a pipe.

    An enclave's memory is not seen by the programs that it starts, and so a file in it is not either.
    """
    from strongroom.streaming.link.server import new_password

    text = disk.read_bounded(settings.keys / logins.DIGESTS, limit=MAX_LOGINS_BYTES)
    (settings.run / ADMIN_FILE).unlink(missing_ok=True)
    # Nobody outside of this pod is administrator: the password is made here and known to nobody else.
    digest = new_password(settings.run / ADMIN_FILE)
    return f"{configuration(settings)}{users(text, settings.job, digest)}".encode()


def serve(settings: RedisSettings, *, program: str = "redis-server", tell: Callable[[str], None] | None = None) -> int:
    """Run Redis until it ends or a signal ends it; certificates that change are taken while it runs.

    Returns its exit status. Raises RedisPart, NoRedisServer.
    """
    from strongroom.streaming.link.server import NoRedisServer

    say = tell or _say
    text = prepare(settings)
    ended = threading.Event()
    thread = threading.Thread(target=_follow, args=(settings, ended, say), daemon=True)
    try:
        with child([program, "-"], told=text) as process:
            thread.start()
            return process.wait()
    except FileNotFoundError:
        raise NoRedisServer(f"{program} is not on the PATH") from None
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


def reload(settings: RedisSettings) -> None:
    """Tell Redis to read its certificates again; open connections stay. Raises RedisAway, RedisRefused."""
    place = Place(
        unix=str(settings.run / SOCKET), user="cs-admin", password_file=str(settings.run / ADMIN_FILE)
    )  # fmt: skip
    identity = str(settings.keys / IDENTITY)
    link = SyncLink(place)
    try:
        (reply,) = link.exchange([("CONFIG", "SET", "tls-cert-file", identity, "tls-key-file", identity)])
    finally:
        link.close()
    if isinstance(reply, Exception):
        raise RedisPart(f"Redis keeps its old certificates: {str(reply)[:200]}")


def _follow(settings: RedisSettings, ended: threading.Event, say: Callable[[str], None]) -> None:
    seen = _identity(settings)
    while not ended.wait(LOOK_EVERY_S):
        try:
            now = _identity(settings)
            if now == seen:
                continue
            reload(settings)
            seen = now
            say("Redis took renewed certificates")
        except (StrongroomError, OSError) as problem:
            say(f"Redis keeps its old certificates for now: {problem}")


def _identity(settings: RedisSettings) -> object:
    """Return what changes when the certificate does; nothing else of the folder is looked at (see `opening`)."""
    found = (settings.keys / IDENTITY).stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _say(sentence: str) -> None:
    sys.stderr.write(f"strongroom: {sentence}\n")
    sys.stderr.flush()
