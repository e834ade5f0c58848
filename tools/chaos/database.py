"""A PostgreSQL server of our own in a folder of its own: for tests and for the chaos run, never for anybody's data.

It listens on a Unix socket, which needs no password, and on loopback, which does. As root it runs as an unprivileged
user, since the server refuses root. It ends with the thread that started it, whatever happens to that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from strongroom.ports import free_port

OWNER = "strongroom"
START_S = 60
_PR_SET_PDEATHSIG = 1


class NoServer(Exception):
    """No PostgreSQL server is installed, or it does not start; the sentence says which."""


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; Debian keeps the server's off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    path = shutil.which(name) or (str(found[-1]) if found else None)
    if path is None:
        raise NoServer(f"there is no {name} here; tools/setup.sh all installs Debian's postgresql")
    return path


def other_user() -> str | None:
    """Return whom the server runs as: somebody unprivileged when we are root, else ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NoServer("the server refuses to run as root, and there is neither a user postgres nor nobody")


@dataclass(frozen=True)
class Database:
    """One database of a server."""

    server: Server
    name: str

    @property
    def url(self) -> str:
        """Where it is, by the Unix socket."""
        return f"postgresql:///{self.name}?host={self.server.folder}&port={self.server.port}&user={OWNER}"

    @property
    def loopback_url(self) -> str:
        """Where it is, by TCP and with a password file."""
        return self.url_through(self.server.port)

    def url_through(self, port: int) -> str:
        """Where it is for who goes through a relay on that port of loopback."""
        return f"postgresql://{OWNER}@127.0.0.1:{port}/{self.name}?passfile={self.server.passfile}"


class Server:
    """A server in a new folder under `parent`; `data` may name another place for its files."""

    def __init__(self, parent: Path | None = None, *, data: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="strongroom-pg-", dir=parent))
        self.data = (data or self.folder) / "data"
        self.passfile = self.folder / "passfile"
        self._log = self.folder / "server.log"
        self.user = other_user()
        self._count = 0
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        password = secrets.token_urlsafe(24)
        (self.folder / "password").write_text(password, encoding="ascii")
        self.passfile.touch(mode=0o600)
        self.passfile.write_text(f"127.0.0.1:*:*:{OWNER}:{password}\n", encoding="ascii")
        self._give(self.folder, self.folder / "password", self.data.parent)
        words = ["--username", OWNER, "--auth-local", "trust", "--auth-host", "scram-sha-256", "--encoding", "UTF8"]
        words += ["--pwfile", str(self.folder / "password"), "--locale", "C.UTF-8", "--no-sync"]
        words += ["--wal-segsize", "1"]
        done = subprocess.run([program("initdb"), "--pgdata", str(self.data), *words], cwd=self.folder,
                              capture_output=True, text=True, check=False, user=self.user)  # fmt: skip
        if done.returncode:
            raise NoServer(f"initdb failed: {done.stderr.strip()[-300:]}")

    def _give(self, *paths: Path) -> None:
        if self.user is not None:
            for path in paths:
                shutil.chown(path, self.user)

    def start(self) -> None:
        """Start the server and wait until it answers. Raises NoServer."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "16MB",
            "max_connections": "60",
            "min_wal_size": "4MB",
            "max_wal_size": "16MB",
            "autovacuum_naptime": "5s",
            "restart_after_crash": "on",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self.data), *words], cwd=self.folder, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, user=self.user, start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # it takes no lock
            )  # fmt: skip
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the server answers. Raises NoServer."""
        words = ["--host", str(self.folder), "--port", str(self.port), "--timeout", "1", "--quiet"]
        for _ in range(START_S * 20):
            if subprocess.run([program("pg_isready"), *words], check=False).returncode == 0:
                return
            if not self.running():
                raise NoServer(f"the server ended: {self.log_tail()}")
            time.sleep(0.05)
        raise NoServer(f"the server does not answer: {self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of what the server wrote."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT disconnects everybody, SIGQUIT is as good as a power cut."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    def crash(self) -> None:
        """Kill every process of the server at once; nothing of it is left when this returns."""
        family = self.family()
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(START_S)
            self._process = None
        while any(is_alive(pid) for pid in family):
            time.sleep(0.01)

    def running(self) -> bool:
        """Return whether the server's first process is there."""
        return self._process is not None and self._process.poll() is None

    def family(self) -> list[int]:
        """Return the server's process and those that it started."""
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [self._process.pid, *(int(word) for word in children.read_text().split())]

    def psql(self, sql: str, *, database: str = "postgres") -> str:
        """Run a statement and return what it gave."""
        words = ["--host", str(self.folder), "--port", str(self.port), "--username", OWNER, "--no-psqlrc"]
        words += ["--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", sql, database]
        done = subprocess.run([program("psql"), *words], check=True, capture_output=True, text=True, timeout=START_S)
        return done.stdout.strip()

    def new_database(self) -> Database:
        """Make an empty database."""
        self._count += 1
        name = f"broker_{self._count}"
        self.psql(f"CREATE DATABASE {name}")
        return Database(self, name)

    def drop(self, database: Database) -> None:
        """Remove a database and whoever is connected to it."""
        self.psql(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and remove its files."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_alive(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
