"""Spark's own history server, over TLS and behind loopback, on event logs as they may be shown.

World: one JVM, a folder in memory that holds its settings, its certificate and the logs, and goes with it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Final

from strongroom.analytics.report.finishing import keep_logs
from strongroom.analytics.report.reading import BadReportInput
from strongroom.analytics.session import surroundings
from strongroom.analytics.session.folder import CA, KEY_STORE, TRUST_STORE, SessionFolder
from strongroom.errors import BadInput, Unreachable
from strongroom.sparkjobs.properties import LOOPBACK, TLS_PROTOCOL

MAIN_CLASS: Final = "org.apache.spark.deploy.history.HistoryServer"
HEAP: Final = "512m"
DEFAULT_PORT: Final = 18480  # Spark's for TLS: 18080 and 400
START_TIMEOUT_S: Final = 180.0
_STARTED: Final = re.compile(r"Bound HistoryServer to \S+, and started at (https://\S+)")
READING_S: Final = 30.0
_KEPT_LINES: Final = 20
_MAX_LIST_BYTES: Final = 16 * 1024 * 1024
_POLL_S: Final = 0.1


class HistoryNotStarted(Unreachable):
    """Spark's history server ended, or did not begin in time."""

    code = "SR-SPARK-HISTORY"
    fix = "Read what Java said, take another --port if that one is in use, and run strongroom spark preflight."


class SameApplication(BadInput):
    """Two folders hold a log of the same name, of which a history could show only one."""

    code = "SR-SPARK-HISTORY-TWICE"
    fix = "Name each job's folder once."


@dataclass(frozen=True, slots=True)
class History:
    """A history server that runs: its address, and the certificate that its own comes from."""

    address: str
    ca: Path
    logs: int
    process: subprocess.Popen[str]


@contextmanager
def serving(folders: Sequence[Path], *, port: int = DEFAULT_PORT) -> Iterator[History]:
    """Run a history server over the logs of these folders while the block runs; port 0 takes a free one.

    Raises BadReportInput without any log, SameApplication, HistoryNotStarted, NoSpark, DiskInTheClear.
    """
    session = SessionFolder.create()
    try:
        logs = _collected(folders, session.events)
        with _started(session, port) as (process, address):
            _wait_until_shown(address, session.path / CA, logs)
            yield History(address, session.path / CA, logs, process)
    finally:
        session.remove()


def settings(session: SessionFolder, port: int, password: str) -> dict[str, str]:
    """Return what the history server is told; the password is of key stores that live as long as it does."""
    tls = "spark.ssl.historyServer."
    return {
        "spark.history.fs.logDirectory": session.events.as_uri(),
        "spark.history.fs.cleaner.enabled": "false",
        "spark.history.ui.port": "0",  # of plain HTTP, which only redirects
        "spark.ui.killEnabled": "false",
        f"{tls}enabled": "true",
        f"{tls}port": str(port),
        f"{tls}protocol": TLS_PROTOCOL,
        f"{tls}keyStore": os.fspath(session.path / KEY_STORE),
        f"{tls}keyStoreType": "PKCS12",
        f"{tls}keyStorePassword": password,
        f"{tls}keyPassword": password,
        f"{tls}trustStore": os.fspath(session.path / TRUST_STORE),
        f"{tls}trustStoreType": "PKCS12",
        f"{tls}trustStorePassword": password,
    }


def _collected(folders: Sequence[Path], into: Path) -> int:
    count = 0
    for folder in folders:
        count += keep_logs(folder, into)
        if len(list(into.iterdir())) != count:
            raise SameApplication(f"{folder} holds a log that another folder holds as well")
    if not count:
        raise BadReportInput(f"{', '.join(map(str, folders))}: no event log of Spark's")
    return count


def _wait_until_shown(address: str, ca: Path, logs: int) -> None:
    """Wait until the server lists the logs, which it reads after it has begun to answer; logs of nothing never come."""
    context = ssl.create_default_context(cafile=os.fspath(ca))
    listed = f"{address}/api/v1/applications"
    ends, pause = time.monotonic() + READING_S, threading.Event()
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(listed, context=context, timeout=READING_S) as answer:  # noqa: S310  # https
                if len(json.loads(answer.read(_MAX_LIST_BYTES))) >= logs:
                    return
        except (OSError, ValueError, HTTPException):  # not yet, or more than is worth it: whoever looks will see
            pass
        pause.wait(_POLL_S)


@contextmanager
def _started(session: SessionFolder, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    password = session.write_stores(("localhost", LOOPBACK))
    session.write_settings(settings(session, port, password), {}, verbose=True)
    environ = surroundings.environment(session, os.environ, local_dirs=(os.fspath(session.local),))
    environ |= {"SPARK_LOCAL_IP": LOOPBACK, "SPARK_DAEMON_MEMORY": HEAP}
    command = [os.fspath(surroundings.spark_home() / "bin" / "spark-class"), MAIN_CLASS]
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    listener = _Listener(process.stderr)
    try:
        yield process, listener.address()
    finally:
        _end(process)
        listener.thread.join()


class _Listener:
    """Reads what Java says, so that its pipe never fills, and finds the address in it."""

    def __init__(self, stream: IO[str] | None) -> None:
        self._said: deque[str] = deque(maxlen=_KEPT_LINES)
        self._address = ""
        self._known: Final = threading.Event()
        self.thread: Final = threading.Thread(target=self._read, args=(stream,), daemon=True, name="history")
        self.thread.start()

    def address(self) -> str:
        """Wait for the address and return it. Raises HistoryNotStarted."""
        if not self._known.wait(START_TIMEOUT_S) or not self._address:
            raise HistoryNotStarted("the history server did not start: " + " / ".join(list(self._said)[-3:]))
        return self._address

    def _read(self, stream: IO[str] | None) -> None:
        if stream is not None:
            with stream:
                for line in stream:
                    self._said.append(line.strip()[:300])
                    found = _STARTED.search(line)
                    if found is not None:
                        self._address = found[1]
                        self._known.set()
        self._known.set()  # at its end there is nothing to wait for


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
