"""Logs as text or as JSON lines, each with the id of the request or case that it belongs to.

The id of a case is the one in the ledger; a caller that sends `X-Request-ID` chose it, so that a replica's log and the
broker's share it. World: the root logger.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
MAX_MESSAGE: Final = 4000
TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


def configure(stream: TextIO, *, as_json: bool, level: int = logging.INFO) -> None:
    """Send everything of this process to `stream`, in place of what was configured before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if as_json else OneLine(TEXT_FORMAT))
    handler.addFilter(_add_id)
    # No line says from where in the source, in which thread or process it comes, and to find that out takes a while.
    logging._srcfile = None  # noqa: SLF001  # documented: Logging HOWTO, "Optimization"
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(handlers=[handler], level=level, force=True)


def _add_id(record: logging.LogRecord) -> bool:
    """Give a line the id of the request that it is written for, unless it names one itself."""
    if not getattr(record, "request_id", ""):
        record.request_id = REQUEST_ID.get()
    return True


class OneLine(logging.Formatter):
    """Text on one line: what came from a peer can neither begin a line of its own nor move a terminal's cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the standard library's name
        """Return the line without what is no printable character."""
        line = super().formatMessage(record)
        return line if line.isprintable() else "".join(each if each.isprintable() else "?" for each in line)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and where there is one, request_id and error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of ASCII."""
        message = record.getMessage()
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…",
        }
        if request_id := getattr(record, "request_id", ""):
            entry["request_id"] = request_id
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry)
