"""What the events of a job say, put together: who was admitted, which keys were used, which data went in and out. Pure.

Events of any number of processes and hosts come in any order; the same data set read ten times is told of once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from strongroom.analytics.report.reading import Line, number, seconds, text, texts
from strongroom.analytics.report.spark_log import Application, Executor
from strongroom.analytics.session.events import EventKind

MAX_ROWS: Final = 10_000  # of each table: what is more is counted
MAX_PROGRAMS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What was run. `digest`: SHA-256 of the program's file in hexadecimal; `status` None: no end is known."""

    application: str = ""
    program: str = ""
    digest: str = ""
    master: str = ""
    keys: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    status: int | None = None


# Who tells of an arrival: its own event, what an executor said as it registered with the driver, a roll call. What
# stands first says most, and where several tell of the same process, it counts.
Source = Literal["event", "registration", "roll call"]
_SOURCES: Final = get_args(Source)
_STANDALONE: Final = "app-"  # what a Master's names of applications begin with
DRIVER: Final = "driver"  # what Spark calls the executor that the driver's own process is


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A process that asked for keys: admitted after it had proved itself, or refused."""

    time: str
    host: str
    role: str
    admitted: bool
    application: str = ""
    source: Source = "event"
    platform: str = ""
    program: str = ""  # its measurement, where the event has it
    broker: str = ""
    keys: tuple[str, ...] = ()
    seconds: float = 0.0
    lease_s: float = 0.0
    code: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """How often one key was used for one thing, and by which programs."""

    key_id: str
    op: str
    ok: bool
    times: int
    programs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One generation of a data set that was read or written. `mac`: its manifest's, in hexadecimal."""

    name: str
    generation: int
    mac: str
    kind: str
    files: int
    size: int
    key_id: str
    path: str
    wrapped: str = ""


@dataclass(slots=True)
class Facts:
    """What is known of a job from its events."""

    job: Job = field(default_factory=Job)
    arrivals: list[Arrival] = field(default_factory=list)
    left_out: int = 0
    _applications: set[str] = field(default_factory=set)
    _read: dict[DataSet, None] = field(default_factory=dict)
    _written: dict[DataSet, None] = field(default_factory=dict)
    _uses: dict[tuple[str, str, bool], KeyUse] = field(default_factory=dict)

    @property
    def uses(self) -> list[KeyUse]:
        """The uses of keys, by key."""
        return [self._uses[each] for each in sorted(self._uses)]

    @property
    def read(self) -> list[DataSet]:
        """The data sets that were read, each generation once, as they came."""
        return list(self._read)

    @property
    def written(self) -> list[DataSet]:
        """The data sets that were written, as they came."""
        return list(self._written)

    @property
    def admitted(self) -> list[Arrival]:
        """Who was given keys, in order of time."""
        return self._arrived(admitted=True)

    @property
    def refused(self) -> list[Arrival]:
        """Who was given nothing, and what else was refused, in order of time."""
        return self._arrived(admitted=False)

    def add(self, lines: Iterable[Line]) -> None:
        """Take events in; lines of other kinds are passed over."""
        for line in lines:
            known = _ADD.get(text(line, "event"))
            if known is not None:
                known(self, line)
            elif "event" not in line and type(line.get("admitted")) is bool:  # a line of a roll call
                role = f"{text(line, 'role')} {text(line, 'name')}"
                self._arrival(line, line["admitted"], role, source="roll call")

    def registered(self, application: Application) -> None:
        """Take in what the executors of an application said of themselves to their driver."""
        self._applications.add(application.number)
        for each in application.executors.values():
            told = each.registration
            if told is not None and not self._full(self.arrivals):
                self.arrivals.append(
                    Arrival(
                        time=told.time, host=each.host, role=_role(each.name), admitted=True,
                        application=application.number, source="registration", platform=told.platform,
                        program=told.measurement, broker=told.broker, keys=told.keys, seconds=told.seconds,
                        lease_s=told.lease_s,
                    )
                )  # fmt: skip

    def unnamed(self, application: Application) -> list[Executor]:
        """Return the executors that worked, and of which nothing says that they proved what they are."""
        named = {each.role for each in self.admitted if each.application == application.number}
        return [
            each for each in application.executors.values() if each.name != DRIVER and _role(each.name) not in named
        ]

    def _arrived(self, *, admitted: bool) -> list[Arrival]:
        """Return who came, in order of time; of each process what says most."""
        mine = [
            each
            for each in self.arrivals
            if each.admitted is admitted and not self._is_of_another_job(each.application)
        ]
        found = sorted(mine, key=lambda each: each.time)
        best: dict[tuple[str, str], int] = {}
        for each in found:
            rank, who = _SOURCES.index(each.source), (each.application, each.role)
            best[who] = min(rank, best.get(who, rank))
        return [each for each in found if _SOURCES.index(each.source) == best[each.application, each.role]]

    def _is_of_another_job(self, application: str) -> bool:
        """A cluster's roll call and events have all of its jobs; Kubernetes' name this job by its session."""
        known = self._applications
        return bool(known) and application.startswith(_STANDALONE) and application not in known

    def _admitted(self, line: Line) -> None:
        self._arrival(line, True, text(line, "role") or f"process {number(line, 'pid')}")

    def _refused(self, line: Line) -> None:
        self._arrival(line, False, text(line, "role") or text(line, "executor"))

    def _arrival(self, line: Line, admitted: bool, role: str, *, source: Source = "event") -> None:
        if self._full(self.arrivals):
            return
        self.arrivals.append(
            Arrival(
                time=text(line, "time", 40), host=text(line, "host"), role=role, admitted=admitted,
                application=text(line, "application"), source=source, platform=text(line, "platform"),
                program=text(line, "measurement"), broker=text(line, "broker"), keys=texts(line, "keys"),
                seconds=seconds(line, "seconds"), lease_s=seconds(line, "lease_s"),
                code=text(line, "code", 64), sentence=text(line, "sentence"),
            )
        )  # fmt: skip

    def _key(self, line: Line) -> None:
        if self._is_of_another_job(text(line, "application")):
            return
        key = (text(line, "key_id"), text(line, "op", 32), line.get("ok") is True)
        if key not in self._uses and self._full(self._uses):
            return
        had = self._uses.get(key) or KeyUse(key_id=key[0], op=key[1], ok=key[2], times=0)
        program = text(line, "program")
        programs = had.programs
        if program and program not in programs and len(programs) < MAX_PROGRAMS:
            programs = (*programs, program)
        self._uses[key] = replace(had, times=had.times + max(1, number(line, "times")), programs=programs)

    def _was_read(self, line: Line) -> None:
        self._data_set(self._read, line)

    def _was_written(self, line: Line) -> None:
        self._data_set(self._written, line)

    def _data_set(self, into: dict[DataSet, None], line: Line) -> None:
        found = DataSet(
            name=text(line, "name"), generation=number(line, "generation"), mac=text(line, "mac", 64),
            kind=text(line, "kind", 32), files=number(line, "files"), size=number(line, "bytes"),
            key_id=text(line, "key_id"), path=text(line, "path", 1000), wrapped=text(line, "data_key", 200),
        )  # fmt: skip
        if found not in into and not self._full(into):
            into[found] = None

    def _started(self, line: Line) -> None:
        self.job = replace(
            self.job, application=text(line, "application"), program=text(line, "program"),
            digest=text(line, "digest", 64), master=text(line, "master"), keys=texts(line, "keys"),
            started=text(line, "time", 40),
        )  # fmt: skip

    def _ended(self, line: Line) -> None:
        self.job = replace(self.job, status=number(line, "status"), ended=text(line, "time", 40))

    def _full(self, table: Sized) -> bool:
        full = len(table) >= MAX_ROWS
        self.left_out += full
        return full


def _role(executor: str) -> str:
    return f"executor {executor}"


_ADD: Final[dict[str, Callable[[Facts, Line], None]]] = {
    EventKind.ADMITTED: Facts._admitted, EventKind.REFUSED: Facts._refused, EventKind.KEY: Facts._key,  # noqa: SLF001
    EventKind.READ: Facts._was_read, EventKind.WRITTEN: Facts._was_written, EventKind.STARTED: Facts._started,  # noqa: SLF001
    EventKind.ENDED: Facts._ended,  # noqa: SLF001  # the class's own table
}  # fmt: skip
