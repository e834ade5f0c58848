"""What goes through a queue and what is known of it, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from strongroom.clusterserving import scripts

Fields: TypeAlias = "Mapping[str, str | bytes]"
RawFields: TypeAlias = "dict[bytes, bytes]"

MAX_SIZE_DIGITS: Final = 15


def size_of(fields: Fields) -> int:
    """Return the bytes that a record counts for in the queue: its fields' names and values."""
    return sum(map(_length, fields)) + sum(map(_length, fields.values()))


def _length(text: str | bytes) -> int:
    """Return how many bytes a text has in UTF-8."""
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())


@dataclass(frozen=True, slots=True)
class Admission:
    """One record to take in. With an idempotency key it may be sent again and counts once.

    `expires_in_ms`: it is of no use after so long; Redis' clock counts, and the script writes the field `deadline`.
    `digest`: what the key is bound to, where the fields differ from one sending to the next (sealed ones do).
    """

    fields: Fields
    idempotency_key: str | None = None
    expires_in_ms: int | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as a worker reads it; `deliveries` counts this one."""

    entry_id: str
    fields: RawFields
    deliveries: int = 1

    @property
    def size(self) -> int:
        """What admission counted for it; 0 for records of clients that know no admission."""
        text = self.fields.get(scripts.SIZE_FIELD.encode(), b"")
        return int(text) if text.isdigit() and len(text) <= MAX_SIZE_DIGITS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The end of one record: the result's fields under its uri, and who is told.

    `uri` None: the record has no name that a result could have; it can only be buried. `bury`: the code under which the
    record goes to the dead-letter stream as it is, besides its result. `reply`: the list named in the record.
    """

    entry: Entry
    uri: str | None
    fields: Fields
    reply: str | None = None
    bury: str | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """Records taken over from workers that went silent. `cursor` goes on, `0-0` once all were looked at.

    `gone`: entries that were pending but are no longer in the stream.
    """

    entries: tuple[Entry, ...]
    cursor: str
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits or is worked on: records, bytes that admission counted, and records that workers hold."""

    records: int
    bytes: int
    pending: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker: when it was last seen (milliseconds by Redis' clock), and its heartbeat unless that has run out."""

    name: str
    last_seen_ms: int
    state: Mapping[str, Any] | None

    @property
    def alive(self) -> bool:
        """Whether its heartbeat is there."""
        return self.state is not None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that no worker could finish, as it came (sealed ones are sealed), and why."""

    letter_id: str
    entry_id: str
    code: str
    buried_ms: int
    fields: RawFields = field(repr=False)
