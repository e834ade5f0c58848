"""A session's folder: what the driver and its JVM share, readable by their owner alone, in memory, gone at the end.

World: /dev/shm where there is one, else TMPDIR with --insecure only; a fresh authority whose key is never written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.analytics.session import places
from strongroom.analytics.session.storage import SHARED_MEMORY, DiskInTheClear, is_in_memory
from strongroom.pki import disk
from strongroom.pki.authority import Authority, Role
from strongroom.pki.keystores.issuing import issue, trust_stores
from strongroom.pki.keystores.parts import KeyKind, Part
from strongroom.secret import Secret
from strongroom.sparkjobs import defaults_file

PREFIX: Final = "strongroom-spark-"
DEFAULTS: Final = "spark-defaults.conf"
LOCKED: Final = "locked.properties"
TOKEN: Final = "gateway.token"  # noqa: S105  # a file's name
PORT: Final = "gateway.port"
PAGE_TOKEN: Final = "page.token"  # noqa: S105  # a file's name: who shows what is in it sees the pages
PAGE_HEADER: Final = "page.header"  # the same as a line of HTTP, for curl
CA: Final = "ca.crt"
KEY_STORE: Final = "keystore.pkcs12"
TRUST_STORE: Final = "trust.p12"
DRIVER_PEM: Final = "driver.pem"
TRACES_VARIABLE: Final = "STRONGROOM_SPARK_TRACES"  # where whole traces go: a file, or ALL_SHOWN
ALL_SHOWN: Final = "-"
_LOCK: Final = "lock"
_locks: dict[Path, int] = {}  # descriptors that hold the locks of this process's folders
_DAYS: Final = 90
# Traces are for whoever asks: of an event, the first line of its message alone (%ex none), and not all of a long one.
_SHORT: Final = r"%maxLen{%replace{%m}{\\R[\\s\\S]*}{}}{400}%n%ex{none}"
_WHOLE: Final = "%m%n%ex"
_LOG4J: Final = """\
rootLogger.level = {level}
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: {shown}
logger.shuffle.name = org.apache.spark.util.Utils
logger.shuffle.level = error
logger.hadoop.name = org.apache.hadoop.util.NativeCodeLoader
logger.hadoop.level = error
logger.vertx.name = io.vertx.core.impl.BlockedThreadChecker
logger.vertx.level = error
"""
_LOG4J_FILE: Final = f"""\
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = ${{env:{TRACES_VARIABLE}}}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yy/MM/dd HH:mm:ss}} %p %c{{1}}: {_WHOLE}
"""


@dataclass(frozen=True, slots=True)
class SessionFolder:
    """The folder (0700) and the names in it."""

    path: Path

    @classmethod
    def create(cls, *, insecure: bool = False) -> SessionFolder:
        """Make the folder. Raises DiskInTheClear where nothing of the machine's memory can be had as a folder."""
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK) else None
        if place is None or not is_in_memory(place):
            place = Path(tempfile.gettempdir())
            if not insecure and not is_in_memory(place):
                raise DiskInTheClear("neither /dev/shm nor TMPDIR is in memory, and a session's files must be")
        sweep(place)
        places.sweep(place)  # a killed job leaves its agent's folder as well, with Spark's secret
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))  # 0700
        descriptor = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, disk.SECRET_MODE)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder = cls(made.rename(place / made.name[1:]))  # under this name it is locked from the beginning
        _locks[folder.path] = descriptor
        for each in (folder.conf, folder.temporary, folder.local, folder.events):
            each.mkdir(mode=disk.SECRET_FOLDER_MODE)
        return folder

    @property
    def conf(self) -> Path:
        """What SPARK_CONF_DIR names."""
        return self.path / "conf"

    @property
    def temporary(self) -> Path:
        """What TMPDIR and java.io.tmpdir name; short, for it holds Unix sockets."""
        return self.path / "t"

    @property
    def local(self) -> Path:
        """Spark's local directory: shuffle files, spill, broadcasts."""
        return self.path / "local"

    @property
    def events(self) -> Path:
        """Where Spark writes its event log, in full: it leaves this folder redacted."""
        return self.path / "events"

    def write_settings(
        self, settings: Mapping[str, str], locked: Mapping[str, str], *, verbose: bool = False, traces: bool = False
    ) -> None:
        """Write what Spark reads at its start. `traces`: whole ones go into a file, which TRACES_VARIABLE names."""
        _write(self.conf / DEFAULTS, defaults_file.render(settings))
        _write(self.path / LOCKED, defaults_file.render(locked))
        level, shown = ("info", _WHOLE) if verbose else ("warn", _SHORT)
        logging = _LOG4J.format(level=level, shown=shown) + (_LOG4J_FILE if traces else "")
        _write(self.conf / "log4j2.properties", logging.encode())
        _write(self.path / TOKEN, secrets.token_hex(32).encode())
        page = secrets.token_hex(32)
        _write(self.path / PAGE_TOKEN, page.encode())
        _write(self.path / PAGE_HEADER, f"Authorization: Bearer {page}\n".encode())

    def write_stores(self, hosts: tuple[str, ...]) -> str:
        """Write the driver's and its JVM's certificate of a fresh authority; return the stores' password."""
        now = datetime.now(UTC)
        authority = Authority.create("Strongroom Spark session", now=now, days=_DAYS + 1)
        words = secrets.token_urlsafe(24)
        password = Secret(words.encode())
        part = Part(name="spark", role=Role.PEER, names=hosts, stores=True, clear=True)
        made = issue(part, authority, password, kind=KeyKind.EC, days=_DAYS, now=now, file_name="driver")
        for name, secret in {**made.private, **trust_stores(authority, password, now=now)}.items():
            if name in {KEY_STORE, TRUST_STORE, DRIVER_PEM}:
                with secret.reveal() as raw:
                    _write(self.path / name, raw)
        _write(self.path / CA, authority.certificate_pem)
        return words

    def remove(self) -> None:
        """Delete everything; a second time it does nothing."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path)
        descriptor = _locks.pop(self.path, None)
        if descriptor is not None:
            os.close(descriptor)


def sweep(place: Path) -> None:
    """Remove what sessions of this user left there that were killed: nobody holds their lock any more."""
    for path in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or just being removed
            descriptor = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_uid == os.getuid():
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read; nothing here outlives the machine, so that nothing is synced."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, disk.SECRET_MODE), "wb") as file:
        file.write(data)
