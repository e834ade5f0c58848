"""What an agent did, for the report after the job: JSON lines, without keys and without anything of the data.

World: one file that only grows. An agent that cannot write there goes on: the owner's ledger is the record that counts.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.admission import Asked
from strongroom.analytics.agent.server import Use
from strongroom.platforms import Platform

EVENTS_VARIABLE: Final = "STRONGROOM_EVENTS"
_log: Final = logging.getLogger("strongroom.agent")


class Events:
    """Appends to a file; None: to nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def admitted(self, asked: Asked, platform: Platform, seconds: float) -> None:
        """Say that this process was given what it asked for."""
        self._append(
            {"event": "admitted", "platform": platform.name, "broker": asked.broker, "keys": list(asked.keys),
             "job": asked.job, "seconds": round(seconds, 4)}
        )  # fmt: skip

    def used(self, use: Use, times: int) -> None:
        """Say what a process below did with a key, and how often."""
        self._append(
            {"event": "key", "op": use.op, "key_id": use.key_id, "ok": use.ok, "times": times, "process": use.pid,
             "program": use.program}
        )  # fmt: skip

    def _append(self, event: Mapping[str, object]) -> None:
        if self._path is None:
            return
        always = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "host": socket.gethostname(),
                  "pid": os.getpid()}  # fmt: skip
        line = json.dumps({**event, **always}) + "\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line.encode())  # one write: lines of several processes do not mix
            finally:
                os.close(descriptor)
        except OSError as problem:
            _log.warning("%s: %s", self._path, problem.strerror)
