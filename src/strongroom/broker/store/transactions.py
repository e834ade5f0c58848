"""How operations share a transaction: what each of them may do to the others, which is nothing.

Pure but for the session, which is a database's connection. An operation that fails before it changed anything fails
alone. One that fails later is taken out and the others run again from the start; after a second such failure each
gets a transaction of its own, so that no operation runs more than three times for another's sake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from strongroom.broker.store import Row, Value
from strongroom.broker.store.group import Task
from strongroom.errors import StrongroomError

SHARED_ATTEMPTS = 2
MAX_TROUBLES = 4  # in a row, for one batch


class Trouble(Exception):
    """The database failed, not an operation; `again` says that the same batch may be tried at once."""

    def __init__(self, error: StrongroomError, *, again: bool = False) -> None:
        super().__init__(error.sentence)
        self.error = error
        self.again = again

    def for_one(self) -> StrongroomError:
        """Return an error of its own for each caller: threads must not share a traceback."""
        return type(self.error)(self.error.sentence, fix=self.error.fix)


class _Unattributed(Exception):
    """What ran last for all failed, and nobody can tell for whom: each operation has to run alone."""


class SessionTx:
    """One transaction on one connection. Subclasses run the statements and count the rows they changed."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.memo: dict[str, Any] = {}
        self.failed: Exception | None = None  # what the database said; the transaction is lost
        self._last: dict[str, Callable[[], None]] = {}

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement and return its rows."""
        raise NotImplementedError

    def changes(self) -> int:
        """Return how many rows were changed so far."""
        raise NotImplementedError

    def before_commit(self, name: str, action: Callable[[], None]) -> None:
        """Remember what is to run once, after the last operation."""
        self._last.setdefault(name, action)

    def finish(self) -> None:
        """Run what was to run last."""
        while self._last:
            self._last.pop(next(iter(self._last)))()
        if self.failed is not None:  # somebody caught what the database said and went on
            raise self.failed


class Session(Protocol):
    """A writer's connection. Every method may raise Trouble."""

    def begin(self) -> SessionTx:
        """Begin a transaction that no other writer runs beside."""

    def commit(self, tx: SessionTx) -> None:
        """Make it durable; returns only once it is."""

    def rollback(self) -> None:
        """Undo it."""

    def discard(self) -> None:
        """Close the connection; the next transaction makes a new one."""


def run(session: Session, tasks: Sequence[Task]) -> None:
    """Give every task its result or its error."""
    try:
        _run(session, tasks)
    except BaseException:  # an interrupt: what was begun must not be taken for the next batch's
        session.discard()
        raise


def _run(session: Session, tasks: Sequence[Task]) -> None:
    pending, failures, troubles = list(tasks), 0, 0
    while pending:
        group = pending if failures < SHARED_ATTEMPTS else pending[:1]
        rest = pending[len(group) :]
        try:
            culprit = _attempt(session, group)
        except _Unattributed:
            failures = SHARED_ATTEMPTS
            continue
        except Trouble as trouble:
            troubles += 1
            if not trouble.again or troubles >= MAX_TROUBLES:
                for task in pending:
                    task.error = trouble.for_one()
                return
            continue
        if culprit is None:
            pending = rest
            continue
        failures += 1
        pending = [task for task in group if task is not culprit] + rest


def _attempt(session: Session, group: Sequence[Task]) -> Task | None:
    """Run a group in one transaction; return the one that made it impossible, with its error."""
    tx = session.begin()
    for task in group:
        if not _operate(tx, task):
            return _undone(session, tx, task)
    try:
        tx.finish()
    except Exception as problem:  # whatever it was, it is told to whom it concerns
        group[-1].error = problem
        _undone(session, tx, group[-1])
        if len(group) > 1:
            raise _Unattributed from problem
        return group[-1]
    session.commit(tx)
    return None


def _operate(tx: SessionTx, task: Task) -> bool:
    """Run one operation; return whether the transaction can go on."""
    before = tx.changes()
    task.error = None
    try:
        task.result = task.operation(tx)
    except StrongroomError as refusal:
        task.error = refusal
        return tx.failed is None and tx.changes() == before
    except Exception as problem:  # noqa: BLE001  # an operation's bug is its caller's, not its neighbours'
        task.error = problem
        return False
    if tx.failed is not None:  # it caught what the database said and went on
        task.error = tx.failed
        return False
    return True


def _undone(session: Session, tx: SessionTx, culprit: Task) -> Task:
    if isinstance(tx.failed, Trouble):
        session.discard()
        raise tx.failed
    session.rollback()
    return culprit
