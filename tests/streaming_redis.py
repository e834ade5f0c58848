"""A real Redis for tests: TLS, client certificates, a user a role; one server a session, one job a test.

The fixtures `redis_server` and `redis_job` stand in conftest.py and come from here.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.clusterserving.access import Role, User
from strongroom.clusterserving.names import Job
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.link.connection import Place
from strongroom.streaming.link.queue import AsyncQueue, Queue
from strongroom.streaming.link.server import LOOPBACK, Home, RedisServer, new_password


@dataclass(frozen=True)
class RedisJob:
    """A job of one test in the session's Redis: `place("worker")` says where it is and who asks."""

    server: RedisServer
    job: Job
    folder: Path

    def place(self, role: Role | str = Role.CLIENT, client: str | None = None) -> Place:
        """Return the place for a role: client, worker, compat, frontend, probe, admin; `client`: ann or ben."""
        role = Role(role)
        if role is Role.ADMIN:
            return self.server.home.place(role)
        user = self.user(role, client)
        if not (self.folder / user).exists():
            self._add(role, client)
        shown = self.server.home.place(role)
        return replace(shown, user=user, password_file=str(self.folder / user))

    def user(self, role: Role | str, client: str | None = None) -> str:
        """Return the name of this job's user for a role."""
        return f"{self.job.name}-{Role(role)}" + (f"-{client}" if client is not None else "")

    def _add(self, role: Role, client: str | None) -> None:
        name = self.user(role, client)
        digest = new_password(self.folder / name)
        self.server.add(self.job, [User(role=role, password_sha256=digest, client=client, name=name)])

    def queue(self, role: Role | str = Role.CLIENT, bounds: Bounds | None = None, client: str | None = None) -> Queue:
        """Return a queue for threads; close it (it is a context manager)."""
        return Queue(self.place(role, client), self.job, bounds)

    def aio(
        self, role: Role | str = Role.CLIENT, bounds: Bounds | None = None, client: str | None = None
    ) -> AsyncQueue:
        """Return a queue for coroutines; close it (it is an asynchronous context manager)."""
        return AsyncQueue(self.place(role, client), self.job, bounds)

    def config_yaml(self, role: Role | str = Role.WORKER, **more: object) -> str:
        """Return the text of a config.yaml that reaches this job; `more`: keys beside, such as modelPath="/m"."""
        place = self.place(role)
        keys = {
            "jobName": self.job.name, "redisUrl": place.spelled, "redisUser": place.user,
            "redisPasswordFile": place.password_file, "redisCaFile": place.ca_file, "redisCertFile": place.cert_file,
            "redisKeyFile": place.key_file, **more,
        }  # fmt: skip
        return "".join(
            f"{name}: {str(value).lower() if isinstance(value, bool) else value}\n" for name, value in keys.items()
        )

    def make_group(self) -> None:
        """Make the stream and its group, as a worker does when it starts."""
        with self.queue(Role.WORKER) as worker:
            worker.make_group()

    def beside(self, name: str) -> RedisJob:
        """Return another job in the same Redis."""
        return RedisJob(self.server, Job(f"{self.job.name}-{name}"), self.folder)

    def admin(self, *words: str | bytes | int) -> object:
        """Run one command as admin."""
        return self.server.admin(*words)


def start_redis(
    *, durable: bool = False, max_memory: int = 256 * 1024 * 1024, names: tuple[str, ...] = LOOPBACK
) -> RedisServer:
    """Start a Redis of one's own in a new folder; stop it with `end_redis`."""
    if shutil.which("redis-server") is None and shutil.which("valkey-server") is None:
        pytest.skip("there is no redis-server here; tools/setup.sh all installs Debian's")
    folder = Path(tempfile.mkdtemp(prefix="strongroom-redis-"))
    return RedisServer(
        Home.make(
            folder / "home", Job("unused"), now=datetime.now(UTC), durable=durable, max_memory=max_memory, names=names
        )
    )  # fmt: skip


def end_redis(server: RedisServer) -> None:
    """Stop a Redis and remove its folder."""
    server.stop()
    shutil.rmtree(server.home.folder.parent, ignore_errors=True)


@contextlib.contextmanager
def new_job(server: RedisServer, folder: Path, name: str) -> Iterator[RedisJob]:
    """Lend a job; its keys and users are gone afterwards."""
    if not server.running():
        server.start()
    made = RedisJob(server, Job(name), folder)
    yield made
    if not server.running():
        server.start()
    users = [each.name for each in folder.iterdir() if each.is_file()]
    if users:
        server.admin("ACL", "DELUSER", *users)
    server.admin("FLUSHALL")
