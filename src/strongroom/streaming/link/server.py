"""A Redis of one's own: a folder with its CA, certificates, users and passwords, and the process that runs on it.

World: files and a process. TLS alone, client certificates required, one user a role and no default one, memory that
refuses instead of dropping, every write on the disk before it is confirmed. For `queue up`, tests and benchmarks; the
same files serve a Redis that somebody else runs. Source: spec section 11.7; threats DP-04.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from strongroom.clusterserving.access import Role, User, acl_file, acl_line, acl_rules, user_name
from strongroom.clusterserving.names import Job
from strongroom.errors import BadInput, Unreachable
from strongroom.pki import disk
from strongroom.pki.authority import Authority, Leaf
from strongroom.ports import free_port
from strongroom.secret import Secret
from strongroom.streaming.leash import leashed
from strongroom.streaming.link.connection import Place, RedisAway, SyncLink
from strongroom.streaming.link.replies import RedisUnexpected, ReplyError

START_S: Final = 30.0
STOP_S: Final = 30.0
LOOPBACK: Final = ("localhost", "127.0.0.1")


class NoRedisServer(BadInput):
    """The program redis-server is not installed on this machine."""

    code = "SR-REDIS-PROGRAM"
    fix = "Install Redis 7 (Debian and Ubuntu: apt-get install redis-server) or Valkey."


class RedisNotStarted(Unreachable):
    """A Redis of our own did not start; its own words are in the sentence."""

    code = "SR-REDIS-START"
    fix = "Look at redis.log in its folder; the port may be taken, or the disk full."


class BadRedisPath(BadInput):
    """A path holds characters that cannot stand in redis.conf."""

    code = "SR-REDIS-PATH"
    fix = "Choose a folder without quotation marks, backslashes and line ends in its path."


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The folder of a Redis of our own (0700): `tls/`, `users/`, `data/`, `redis.conf`, `users.acl`, `redis.log`."""

    folder: Path
    job: Job
    port: int
    host: str = "localhost"

    @classmethod
    def make(
        cls, folder: Path, job: Job, *, now: datetime, clients: Sequence[str] = (), names: Sequence[str] = LOOPBACK,
        bind: str = "127.0.0.1", port: int = 0, max_memory: int = 256 * 1024 * 1024, durable: bool = True,
    ) -> Home:  # fmt: skip
        """Fill a new folder: a CA, a server's certificate for `names`, a user with certificate and password per role.

        `clients`: clients with a user of their own besides. `durable`: an append-only file, written before a command is
        confirmed. `port` 0 takes a free one. Raises AlreadyThere, BadAccess, BadJobName.
        """
        with disk.new_folder(folder) as new:
            home = cls(folder=new, job=job, port=port or free_port(bind), host=names[0])
            authority = Authority.create("Strongroom queue CA", now=now)
            (new / "tls").mkdir(mode=disk.SECRET_FOLDER_MODE)
            (new / "users").mkdir(mode=disk.SECRET_FOLDER_MODE)
            (new / "data").mkdir(mode=disk.SECRET_FOLDER_MODE)
            disk.write_public(new / "tls" / "ca.crt", authority.certificate_pem)
            disk.write_secret(new / "tls" / "ca.key", authority.key_pem)
            _write_leaf(new / "tls" / "server", authority.issue_server(names, now=now))
            users = [_make_user(new, authority, role, None, now) for role in Role]
            users += [_make_user(new, authority, Role.CLIENT, client, now) for client in clients]
            disk.write_secret(new / "users.acl", Secret(acl_file(job, users).encode()))
            final = replace(home, folder=folder.absolute())
            disk.write_secret(new / "redis.conf", Secret(config_text(final, bind, max_memory, durable).encode()))
        return final

    @property
    def ca_file(self) -> Path:
        """The certificate of the CA, for everybody who connects."""
        return self.folder / "tls" / "ca.crt"

    @property
    def log(self) -> Path:
        """What Redis says."""
        return self.folder / "redis.log"

    def place(self, role: Role | str, client: str | None = None) -> Place:
        """Return where this Redis is, for who has a role."""
        user = user_name(Role(role), client)
        own = self.folder / "users" / user
        return Place(
            host=self.host, port=self.port, tls=True, user=user, password_file=f"{own}.password",
            ca_file=str(self.ca_file), cert_file=f"{own}.crt", key_file=f"{own}.key",
        )  # fmt: skip

    def renew(self, *, now: datetime) -> None:
        """Write a new certificate for the server's key; a running Redis takes it with `RedisServer.reload`."""
        tls = self.folder / "tls"
        authority = Authority.load(self.ca_file.read_bytes(), disk.read_secret(tls / "ca.key", limit=65536))
        key = disk.read_secret(tls / "server.key", limit=65536)
        leaf = authority.renew_server(key, [self.host, *(each for each in LOOPBACK if each != self.host)], now=now)
        disk.replace_public(tls / "server.crt", leaf.certificate_pem)


def new_password(path: Path) -> str:
    """Write a random password (256 bits) into a new file (0600); return its SHA-256 in hex for the users file."""
    password = secrets.token_urlsafe(32)
    disk.write_secret(path, Secret(password.encode()))
    return hashlib.sha256(password.encode()).hexdigest()


def _make_user(folder: Path, authority: Authority, role: Role, client: str | None, now: datetime) -> User:
    name = user_name(role, client)
    digest = new_password(folder / "users" / f"{name}.password")
    user = User(role=role, password_sha256=digest, client=client)
    _write_leaf(folder / "users" / name, authority.issue_client(name, now=now))
    return user


def _write_leaf(path: Path, leaf: Leaf) -> None:
    disk.write_public(path.with_name(f"{path.name}.crt"), leaf.certificate_pem)
    disk.write_secret(path.with_name(f"{path.name}.key"), leaf.key_pem)


def config_text(home: Home, bind: str, max_memory: int, durable: bool) -> str:
    """Return redis.conf: TLS with client certificates on the one port there is, users from the file, no dropping."""
    tls = home.folder / "tls"
    return "\n".join((
        "# Written by strongroom: TLS alone, client certificates, users from users.acl, memory that refuses.",
        f"bind {bind}",
        "port 0",
        f"tls-port {home.port}",
        f"tls-cert-file {_quoted(tls / 'server.crt')}",
        f"tls-key-file {_quoted(tls / 'server.key')}",
        f"tls-ca-cert-file {_quoted(tls / 'ca.crt')}",
        "tls-auth-clients yes",
        'tls-protocols "TLSv1.2 TLSv1.3"',
        "protected-mode yes",
        f"aclfile {_quoted(home.folder / 'users.acl')}",
        f"maxmemory {max_memory}",
        "maxmemory-policy noeviction",
        f"appendonly {'yes' if durable else 'no'}",
        "appendfsync always",
        'save ""',
        f"dir {_quoted(home.folder / 'data')}",
        "daemonize no",
        "tcp-keepalive 60",
        "",
    ))  # fmt: skip


def _quoted(path: Path) -> str:
    text = str(path)
    if any(each in text for each in '"\\\r\n\0'):
        raise BadRedisPath(f"{text[:200]!r} cannot stand in redis.conf")
    return f'"{text}"'


class RedisServer:
    """A running Redis on a `Home`; it ends with the thread that started it."""

    def __init__(self, home: Home) -> None:
        """Start it and wait until it answers. Raises NoRedisServer, RedisNotStarted."""
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self, *, wait: bool = True) -> None:
        """Start it (again, on the same port and data) and wait until it answers. Raises as the constructor does."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise NoRedisServer("there is no redis-server on this machine")
        with self.home.log.open("ab") as log:
            self._process = subprocess.Popen(
                leashed([program, str(self.home.folder / "redis.conf")]), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, umask=0o077,
            )  # fmt: skip
        if not wait:
            return
        try:
            self.wait()
        except BaseException:
            self.kill()
            raise

    def wait(self) -> None:
        """Wait until it answers and has loaded its data. Raises RedisNotStarted."""
        link = SyncLink(replace(self.home.place(Role.ADMIN), timeout_ms=2000))
        end = time.monotonic() + START_S
        with contextlib.closing(link):
            while True:
                try:
                    if self._is_ours(link.exchange([("INFO", "server")])[0]):
                        return
                    if not self.running():
                        raise RedisNotStarted(f"another Redis of this folder runs already: {self.said()}")
                except RedisAway:
                    if time.monotonic() > end or not self.running():
                        raise RedisNotStarted(f"Redis did not start: {self.said()}") from None
                time.sleep(0.01)

    def _is_ours(self, said: object) -> bool:
        """Return whether it is our process that answers; one that still loads answers with an error."""
        return isinstance(said, bytes) and f"process_id:{self.pid}\r".encode() in said

    def running(self) -> bool:
        """Return whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self.home.log.read_text(errors="replace")[-600:].strip() if self.home.log.exists() else ""

    def admin(self, *words: str | bytes | int) -> object:
        """Run one command as admin and return its reply. Raises RedisAway and its like."""
        with contextlib.closing(SyncLink(self.home.place(Role.ADMIN))) as link:
            return link.exchange([words])[0]

    def add(self, job: Job, users: Sequence[User]) -> None:
        """Let users of another job in, now and after a restart; they have to have names of their own."""
        path = self.home.folder / "users.acl"
        disk.replace_private(path, path.read_bytes() + "".join(f"{acl_line(job, each)}\n" for each in users).encode())
        with contextlib.closing(SyncLink(self.home.place(Role.ADMIN))) as link:
            for reply in link.exchange([("ACL", "SETUSER", each.user, *acl_rules(job, each)) for each in users]):
                if isinstance(reply, ReplyError):
                    raise RedisUnexpected(f"Redis does not take a user: {reply}")

    def reload(self) -> None:
        """Take renewed certificates; connections that are open stay."""
        self.admin("CONFIG", "SET", "tls-cert-file", str(self.home.folder / "tls" / "server.crt"))

    def stop(self) -> None:
        """End it: what is written is kept."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
