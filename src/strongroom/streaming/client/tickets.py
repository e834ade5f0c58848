"""Which results a client still waits for, and what to ask Redis for next. Opens no socket and reads no clock.

A reply list names records that are done; because a notice can be lost with its connection, and because an older worker
gives none, results are looked for without one as well, ever more rarely. Source: spec `cluster-serving.md` 11.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.clusterserving.values import Result
from strongroom.errors import BadInput, StrongroomError, Unreachable
from strongroom.secret import Secret
from strongroom.streaming.link.records import RawFields

FIRST_LOOK_S: Final = 0.001  # where nobody tells: the original's server
LONGEST_LOOK_S: Final = 0.05
FIRST_TOLD_LOOK_S: Final = 0.25  # where workers tell a reply list
LONGEST_TOLD_LOOK_S: Final = 1.0
AT_ONCE: Final = -1.0


class ResultTimeout(Unreachable):
    """A record has no result yet, and as long as was to be waited has passed; it is still in the queue."""

    code = "SR-QUEUE-RESULT-TIMEOUT"
    fix = "Ask for it again later, or add workers: strongroom queue status shows how much waits."


class UriBusy(BadInput):
    """A client still waits for the result of another record under the same uri."""

    code = "SR-QUEUE-URI-BUSY"
    fix = "Leave uri out, which makes a new one, or ask for the first record's result before."


@dataclass(slots=True, eq=False)
class Wait:
    """One record that was sent: its name, its entry, and its result or error once there is one.

    `kept`: the record has an idempotency key, so that its result stays for others who ask. `own_uri`: the uri was made
    here, so that nobody else writes under it.
    """

    uri: str
    entry_id: str | None
    response_key: Secret | None = None
    kept: bool = False
    own_uri: bool = True
    result: Result | None = None
    problem: StrongroomError | None = None
    look_at_s: float | None = None  # None: not planned yet
    look_every_s: float = 0.0

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or self.problem is not None

    def answer(self) -> Result:
        """Return the result. Raises the ServingError that stands for it."""
        if self.problem is not None:
            raise self.problem
        if self.result is None:
            raise ResultTimeout(f"{self.uri} has no result yet")
        if self.result.error is not None:
            raise self.result.error
        return self.result


class Held:
    """What a ticket says of its record without asking anybody."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Wait) -> None:
        self._wait = wait

    @property
    def uri(self) -> str:
        """The record's name."""
        return self._wait.uri

    @property
    def entry_id(self) -> str | None:
        """The record's place in the stream; None where it was refused."""
        return self._wait.entry_id

    @property
    def done(self) -> bool:
        """Whether the result has come (or will not); asks nobody."""
        return self._wait.done

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r}, {'done' if self.done else 'waiting'})"


class Waits:
    """All records of one client that have no result yet."""

    def __init__(self, read: Callable[[Wait, RawFields], Result]) -> None:
        self._read = read
        self._by_uri: dict[str, Wait] = {}
        self.told = False  # whether workers tell the reply list

    def __len__(self) -> int:
        return len(self._by_uri)

    def add(self, wait: Wait) -> None:
        """Wait for a record's result."""
        self._by_uri[wait.uri] = wait

    def check_free(self, uri: str) -> None:
        """Raise UriBusy where a record of that name is waited for."""
        if uri in self._by_uri:
            raise UriBusy(f"{uri} is still waited for")

    def drop(self, waits: Iterable[Wait]) -> None:
        """Wait for these no longer."""
        for each in waits:
            if self._by_uri.get(each.uri) is each:
                del self._by_uri[each.uri]

    def named(self, uris: Iterable[str]) -> list[Wait]:
        """Return those of ours that a reply list named, each once; one whose entry is not known yet comes up later."""
        found = [self._by_uri[uri] for uri in dict.fromkeys(uris) if uri in self._by_uri]
        for each in found:
            each.look_at_s = AT_ONCE
        return [each for each in found if each.entry_id is not None]

    def due(self, waits: Iterable[Wait], now_s: float) -> list[Wait]:
        """Return those of `waits` that should be looked for without having been named; plan the next look."""
        longest = LONGEST_TOLD_LOOK_S if self.told else LONGEST_LOOK_S
        found = []
        for each in waits:
            if each.done or each.entry_id is None or self._planned(each, now_s) > now_s:
                continue
            each.look_at_s = now_s + each.look_every_s
            each.look_every_s = min(2 * each.look_every_s, longest)
            found.append(each)
        return found

    def _planned(self, wait: Wait, now_s: float) -> float:
        """Return when a result is looked for next; a record that others may have sent may have one already."""
        if wait.look_every_s == 0.0:
            wait.look_every_s = FIRST_TOLD_LOOK_S if self.told else FIRST_LOOK_S
        if wait.look_at_s is None:
            wait.look_at_s = AT_ONCE if wait.kept else now_s + wait.look_every_s
        return wait.look_at_s

    def next_look_s(self, waits: Iterable[Wait], now_s: float) -> float:
        """Return how long nothing has to be looked for."""
        return max(0.0, min((self._planned(each, now_s) for each in waits if not each.done), default=now_s) - now_s)

    def take(self, asked: Sequence[Wait], found: Sequence[RawFields | None]) -> list[Wait]:
        """Note results as Redis gave them; return the waits that are done now."""
        done = []
        for wait, fields in zip(asked, found, strict=True):
            if fields is None or wait.done:
                continue
            try:
                wait.result = self._read(wait, fields)
            except StrongroomError as problem:
                wait.problem = problem
            done.append(wait)
        self.drop(done)
        return done
