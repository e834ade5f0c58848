"""Who came to work for a job, who proved himself and who did not: JSON lines that the submitting side reads.

World: one file that only grows, written by the processes themselves. It is for people and for ending a job early; what
protects the job is that nobody gets its secret without proof, and the record that counts is the owner's ledger.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from strongroom.errors import BadInput, Refused
from strongroom.wire import strict_json

MAX_LINE_BYTES: Final = 4096
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_REFUSALS: Final = 3
_LOOK_S: Final = 0.5
_MAX_TEXT: Final = 300


class BadRollCall(BadInput):
    """A line of a roll call is not in its form."""

    code = "SR-SPARK-ROLL-CALL"
    fix = "Remove the file; the cluster makes a new one."


class ExecutorsRefused(Refused):
    """Executors of a job could not prove what they are, so that they got nothing, and the job does not go on."""

    code = "SR-SPARK-EXECUTORS"
    fix = "Ask the owner: strongroom ledger show says why; strongroom policy trust admits the executors' program."


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One process that came. `role`: executor, worker or master; `name`: its id within the application."""

    time: str
    host: str
    role: str
    name: str
    application: str
    admitted: bool
    code: str = ""
    sentence: str = ""
    seconds: float = 0.0

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read one line. Raises BadRollCall."""
        found = strict_json.loads(line, what="a roll call", error=BadRollCall, max_bytes=MAX_LINE_BYTES, max_depth=1)
        if not isinstance(found, dict) or found.keys() != _TYPES.keys():
            raise BadRollCall(f"a line of a roll call has {', '.join(_TYPES)}")
        for name, kinds in _TYPES.items():
            if type(found[name]) not in kinds:
                raise BadRollCall(f"{name} of a roll call has no such value")
        return cls(**found)

    def __str__(self) -> str:
        came = "was admitted" if self.admitted else f"was refused ({self.code})"
        return f"{self.role} {self.name} of {self.application} on {self.host} {came}"


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "time": (str,), "host": (str,), "role": (str,), "name": (str,), "application": (str,), "admitted": (bool,),
    "code": (str,), "sentence": (str,), "seconds": (int, float),
}  # fmt: skip


class RollCall:
    """The file. Several processes may write it at once."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def add(
        self, role: str, name: str, application: str, host: str, *, code: str = "", sentence: str = "",
        seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Note who came; with a code, that it was refused. Raises OSError."""
        self.note(Arrival(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"), host=host[:_MAX_TEXT], role=role,
            name=name[:_MAX_TEXT], application=application[:_MAX_TEXT], admitted=not code, code=code,
            sentence=sentence[:_MAX_TEXT], seconds=round(seconds, 4),
        ))  # fmt: skip

    def note(self, arrival: Arrival) -> None:
        """Note an arrival as another roll call has it. Raises OSError."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps(asdict(arrival)).encode() + b"\n")  # one write, so that lines do not mix
        finally:
            os.close(descriptor)

    def read(self, since: int = 0) -> tuple[list[Arrival], int]:
        """Return who came after `since` bytes, and where to go on. Raises BadRollCall."""
        try:
            with self.path.open("rb") as file:
                file.seek(since)
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return [], since
        if len(data) > MAX_FILE_BYTES:
            raise BadRollCall(f"{self.path} has more than {MAX_FILE_BYTES} bytes")
        whole = data.rpartition(b"\n")[0]
        lines = whole.split(b"\n") if whole else []
        return [Arrival.parse(line) for line in lines], since + len(whole) + bool(whole)


def check(arrivals: Iterable[Arrival], *, limit: int = 1) -> None:
    """Raise ExecutorsRefused, naming them, where so many were refused."""
    refused = [each for each in arrivals if not each.admitted]
    if len(refused) >= limit:
        named = list(dict.fromkeys(f"{each.role} {each.name} on {each.host} ({each.code})" for each in refused))
        raise ExecutorsRefused(f"{', '.join(named[:8])}{' and others' if len(named) > 8 else ''}")


class Watch:
    """Looks at a roll call while a job runs, from its end on; `on_limit` hears once, in another thread.

    A cluster whose executors come and go would otherwise try again and again, and the job would wait.
    """

    def __init__(
        self, roll_call: RollCall, on_limit: Callable[[ExecutorsRefused], object], *, limit: int = MAX_REFUSALS
    ) -> None:
        self._roll_call, self._on_limit, self._limit = roll_call, on_limit, limit
        self.arrivals: list[Arrival] = []
        self.refusal: ExecutorsRefused | None = None
        self._since = roll_call.path.stat().st_size if roll_call.path.exists() else 0
        self._is_read = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="roll call", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._is_read:
            self._read()  # who came since the last look

    def _read(self) -> None:
        try:
            came, self._since = self._roll_call.read(self._since)
        except (OSError, BadRollCall) as problem:  # it protects nothing: the job goes on, and its user knows
            sys.stderr.write(f"roll call: {problem}\n")
            self._is_read = False
        else:
            self.arrivals += came

    def _look(self) -> None:
        while self._is_read and not self._over.wait(_LOOK_S):
            self._read()
            try:
                check(self.arrivals, limit=self._limit)
            except ExecutorsRefused as problem:
                self.refusal = problem
                self._on_limit(problem)
                return
