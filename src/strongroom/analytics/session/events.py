"""What happened in a job, as JSON lines for its report: never a key, never anything of the data.

World: the file that STRONGROOM_EVENTS names, which only grows; without the variable nothing is written. A process that
cannot write there goes on: the owner's ledger is the record that counts, and the report says which events it has.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from strongroom.datasets.manifest import Manifest, total_bytes

EVENTS_VARIABLE: Final = "STRONGROOM_EVENTS"
MAX_LINE_BYTES: Final = 64 * 1024  # what one write appends whole, and what a report reads as one line
FILE_MODE: Final = 0o600
_log: Final = logging.getLogger("strongroom.report")


class EventKind(StrEnum):
    """What an event tells of; a report ignores kinds that it does not know."""

    ADMITTED = "admitted"  # a process was given what it asked for: platform, broker, keys, seconds
    REFUSED = "refused"  # a process was given nothing, or stopped: code, sentence, executor
    KEY = "key"  # a process used a key: op, key_id, ok, times, process, program
    READ = "read"  # a data set was read: name, generation, mac, kind, files, bytes, key_id, path
    WRITTEN = "written"  # a data set was committed: the same
    STARTED = "started"  # a job began: application, program, digest, master
    ENDED = "ended"  # a job ended: status


def record(kind: EventKind | str, fields: Mapping[str, object], *, to: Path | None = None) -> bool:
    """Append an event to the named file, or to the environment's; return whether it is written.

    `fields` are JSON values without keys, secrets or rows. Raises nothing: what is observed must not end the observed.
    """
    named = os.environ.get(EVENTS_VARIABLE)
    path = to if to is not None else Path(named) if named else None
    if path is None:
        return False
    always = {"event": str(kind), "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
              "host": socket.gethostname(), "pid": os.getpid()}  # fmt: skip
    try:
        line = (json.dumps({**fields, **always}, allow_nan=False) + "\n").encode()
        if len(line) > MAX_LINE_BYTES:
            _log.warning("%s: an event of %d bytes is left out", path, len(line))
            return False
        _append(path, line)
    except (OSError, TypeError, ValueError) as problem:
        _log.warning("%s: %s", path, problem)
        return False
    return True


def data_set_read(manifest: Manifest, path: str) -> bool:
    """Say that a data set was read: once a job and reader, after its manifest was checked."""
    return record(EventKind.READ, _data_set(manifest, path))


def data_set_written(manifest: Manifest, path: str) -> bool:
    """Say that a data set was committed: by its driver, once, with the manifest that was written."""
    return record(EventKind.WRITTEN, _data_set(manifest, path))


def job_started(
    *, application: str, program: str, digest: str, master: str, keys: Sequence[str] = (), to: Path | None = None
) -> bool:  # fmt: skip
    """Say that a job began: the program's name, the SHA-256 of its file, and the keys that it may ask for."""
    return record(
        EventKind.STARTED,
        {"application": application, "program": program, "digest": digest, "master": master, "keys": list(keys)},
        to=to,
    )


def job_ended(*, status: int, to: Path | None = None) -> bool:
    """Say that a job ended, with its exit status."""
    return record(EventKind.ENDED, {"status": status}, to=to)


def _data_set(manifest: Manifest, path: str) -> Mapping[str, object]:
    return {
        "name": manifest.name, "generation": manifest.generation, "mac": manifest.mac.hex(), "path": path,
        "kind": str(manifest.kind), "files": len(manifest.files), "bytes": total_bytes(manifest.files),
        "key_id": str(manifest.key_id), "data_key": manifest.wrapped_data_key,  # wrapped, as in the folder: public
    }  # fmt: skip


def _append(path: Path, line: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        os.write(descriptor, line)  # one write: lines of several processes do not mix
    finally:
        os.close(descriptor)
