"""Move a store from its SQLite file to PostgreSQL: everything, verified, and the old file takes no more decisions.

The file stays locked while it is copied. The copy is durable before the file is marked, and a move that was broken off
in between is finished by the next one, which finds the same content on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.broker.store import Store, Tx, copying, migrating
from strongroom.broker.store.backup import check_target
from strongroom.broker.store.copying import Content, Progress
from strongroom.errors import Tampered

NOT_MOVED: Final = frozenset(("batches", "brokers"))  # about processes, not about what they keep
_CLOSED: Final = (
    "CREATE TRIGGER moved BEFORE INSERT ON ledger_lines BEGIN SELECT RAISE(ABORT, 'this store was moved'); END"
)


class MoveFailed(Tampered):
    """The copy does not hold what the original does; the original goes on."""

    code = "SR-STORE-MOVE"
    fix = "Check the target database, empty it, and move again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was moved, or would be."""

    content: Content
    done_before: bool = False  # an earlier move had copied everything already


def move(source: Store, target: Store, *, progress: Progress | None = None) -> Moved:
    """Copy everything and close the source, an SQLite file, for decisions, also of a broker that still runs on it.

    Raises StoreNotEmpty, BackupOlder, BackupForked, MoveFailed or StoreUnavailable.
    """
    wanted = _wanted()

    def locked(tx: Tx) -> Moved:
        original = copying.read(tx, wanted)
        moved = target.write(lambda into: _copy(tx, into, original, progress))
        migrating.put(tx, migrating.MOVED_TO, target.description)
        tx.execute(_CLOSED)
        return moved

    return source.write(locked)


def check(source: Store, target: Store) -> Moved:
    """Say what a move would copy, and change nothing. Raises StoreNotEmpty, BackupOlder or BackupForked."""
    content = source.read(lambda tx: copying.read(tx, _wanted()))
    done = target.read(lambda tx: _same(tx, content) or _checked(tx, content))
    return Moved(content=content, done_before=done)


def _copy(tx: Tx, into: Tx, original: Content, progress: Progress | None) -> Moved:
    wanted = _wanted()
    if _same(into, original):
        return Moved(content=original, done_before=True)
    check_target(into, original)
    copying.read(tx, wanted, progress=progress, into=into)
    if copying.read(into, wanted) != original:
        raise MoveFailed("rows or ledger of the copy differ from the original's")
    return Moved(content=original)


def _checked(tx: Tx, content: Content) -> bool:
    check_target(tx, content)
    return False


def _same(tx: Tx, content: Content) -> bool:
    return content.total > 0 and copying.count(tx, _wanted()) == content.rows and copying.read(tx, _wanted()) == content


def _wanted() -> tuple[copying.Table, ...]:
    return tuple(table for table in copying.tables() if table.name not in NOT_MOVED)
