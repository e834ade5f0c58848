"""One file that holds a broker's store as it was at one moment, from either database, for either database.

World: the file, which is an SQLite database of its own kind. It says what it holds (rows, SHA-256 over them, the end of
the ledger), and is compared with that before anything of it is used. Secrets are in it as in the store: encrypted
under the root key, which is not in it. Nonces and sessions are left out: restored, they could be used again.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from strongroom.broker.ledger import chain
from strongroom.broker.store import Row, Store, Tx, Value, copying, schema
from strongroom.broker.store.copying import Content, Progress
from strongroom.broker.store.errors import StoreTooNew
from strongroom.errors import Refused, Tampered
from strongroom.pki.disk import SECRET_MODE, AlreadyThere, check_private, move_new, sync_folder

APPLICATION_ID: Final = 0x53745242  # "StRB": no store is opened by mistake, and no backup written to
FORMAT: Final = 1
MAX_LABEL_BYTES: Final = 64 * 1024


class BackupDamaged(Tampered):
    """A file is no backup of a broker's store, or not what was written to it."""

    code = "SR-BACKUP-DAMAGED"
    fix = "Restore another backup, and find out what happened to this one."


class BackupOlder(Refused):
    """The backup ends before the ledger of the store that is there: restoring it would lose decisions."""

    code = "SR-BACKUP-OLDER"
    fix = "Go on with the store that is there; restore a backup only where the store is lost."


class BackupForked(Tampered):
    """The backup and the store that is there hold different ledgers."""

    code = "SR-BACKUP-FORKED"
    fix = "Find out which of the two is yours: compare signed roots with strongroom ledger verify."


class StoreNotEmpty(Refused):
    """There is something in the store that was to be filled; nothing is ever overwritten."""

    code = "SR-STORE-NOT-EMPTY"
    fix = "Name an empty store, or keep the one that is there."


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a backup says about itself."""

    made_ms: int
    source: str
    version: int  # of the tables
    content: Content

    def to_json_object(self) -> dict[str, Any]:
        """Return the label as it stands in the file."""
        return {
            "format": FORMAT,
            "made_ms": self.made_ms,
            "source": self.source,
            "schema": self.version,
            "rows": dict(self.content.rows),
            "sha256": self.content.sha256,
            "ledger_seq": self.content.head_seq,
            "ledger_digest": self.content.head_digest,
        }


class _FileTx:
    """The backup's file in the place of a transaction."""

    def __init__(self, database: sqlite3.Connection, now_ms: int = 0) -> None:
        self._database = database
        self.now_ms = now_ms
        self.memo: dict[str, Any] = {}

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self._database.execute(sql, parameters).fetchall()

    def before_commit(self, name: str, action: object) -> None:
        raise NotImplementedError(name)


def write(store: Store, path: Path, *, progress: Progress | None = None) -> Label:
    """Write what the store holds at this moment to the new file `path`; brokers may go on meanwhile.

    Raises AlreadyThere, StoreUnavailable or OSError; what was begun is removed then.
    """
    if os.path.lexists(path):
        raise AlreadyThere(f"{path} is there already")
    with _draft(path) as draft:
        label = _fill(draft, store, progress)
        move_new(draft, path)
    return label


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, SECRET_MODE))
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}-journal").unlink(missing_ok=True)


def _fill(draft: Path, store: Store, progress: Progress | None) -> Label:
    version = len(schema.MIGRATIONS)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None, check_same_thread=False)) as database:
            for pragma in (f"application_id = {APPLICATION_ID}", "synchronous = OFF", "journal_mode = OFF"):
                database.execute(f"PRAGMA {pragma}").fetchall()

            def copy(tx: Tx) -> Label:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")  # a read may be run again where its connection broke
                database.execute("BEGIN")
                for (statement,) in _shape(version):
                    database.execute(statement)
                content = copying.read(tx, copying.lasting(version), progress=progress, into=_FileTx(database))
                return Label(made_ms=tx.now_ms, source=store.description, version=version, content=content)

            label = store.read(copy)
            database.execute("INSERT INTO backup (label) VALUES (?)", (json.dumps(label.to_json_object()),))
            database.execute("COMMIT")
    except sqlite3.Error as problem:
        raise OSError(f"{draft.parent}: the backup cannot be written: {problem}") from problem
    descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(draft.parent)
    return label


def _shape(version: int) -> list[tuple[str]]:
    """Return the statements that make a backup's tables: the store's own, without indexes, and the label's."""
    with closing(copying.empty_database(version)) as database:
        found: list[tuple[str]] = database.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
    return [*found, ("CREATE TABLE backup (label TEXT NOT NULL)",)]


@contextmanager
def opened(path: Path, *, progress: Progress | None = None) -> Iterator[tuple[Label, Tx]]:
    """Lend a backup whose content is what its label says. Raises BackupDamaged, StoreTooNew or LoosePermissions."""
    check_private(path)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as database:
            database.execute("PRAGMA trusted_schema = OFF")
            label = _checked(_FileTx(database), progress)
            yield label, _FileTx(database)
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as problem:
        raise BackupDamaged(f"{path}: {problem}") from None


def _checked(tx: _FileTx, progress: Progress | None) -> Label:
    if tx.execute("PRAGMA application_id") != [(APPLICATION_ID,)]:
        raise BackupDamaged("the file is not a backup of a broker's store")
    label = _label(tx)
    if label.version > len(schema.MIGRATIONS):
        raise StoreTooNew(f"the backup has tables of version {label.version}, not {len(schema.MIGRATIONS)}")
    if sorted(tx.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")) != sorted(_shape(label.version)):
        raise BackupDamaged("the backup's tables are not those that Strongroom writes")
    found = copying.read(tx, copying.lasting(label.version), progress=progress)
    if found != label.content:
        raise BackupDamaged("the backup's rows are not those that were written to it")
    head = chain.check(_lines(tx))
    if (head.seq, head.digest if head.seq >= 0 else "") != (found.head_seq, found.head_digest):
        raise BackupDamaged(f"the backup's ledger ends at line {head.seq}, not at line {found.head_seq}")
    return label


def _label(tx: _FileTx) -> Label:
    try:
        ((text,),) = tx.execute("SELECT substr(label, 1, ?) FROM backup", (MAX_LABEL_BYTES,))
        words = json.loads(text)
        if words["format"] != FORMAT:
            raise StoreTooNew(f"the backup has format {words['format']!r:.32}, this Strongroom reads {FORMAT}")
        content = Content(
            {str(name): int(rows) for name, rows in words["rows"].items()}, str(words["sha256"]),
            int(words["ledger_seq"]), str(words["ledger_digest"]),
        )  # fmt: skip
        return Label(made_ms=int(words["made_ms"]), source=str(words["source"]), version=int(words["schema"]),
                     content=content)  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, sqlite3.Error):
        raise BackupDamaged("the backup does not say what it holds") from None


def _lines(tx: Tx) -> Iterator[bytes]:
    (table,) = (each for each in copying.tables() if each.name == "ledger_lines")
    for page in copying.pages(tx, table):
        for _, line in page:
            yield line


def restore(path: Path, store: Store, *, progress: Progress | None = None) -> Label:
    """Fill an empty store with a verified backup, in one transaction.

    Raises BackupDamaged, BackupOlder, BackupForked, StoreNotEmpty, StoreTooNew or StoreUnavailable.
    """
    with opened(path) as (label, backup):
        wanted = copying.lasting(label.version)

        def fill(tx: Tx) -> None:
            check_target(tx, label.content)
            copying.read(backup, wanted, progress=progress, into=tx)
            if copying.count(tx, wanted) != label.content.rows:
                raise BackupDamaged("the store does not hold what the backup does")

        store.write(fill)
    return label


def check_target(tx: Tx, content: Content) -> None:
    """Raise BackupOlder, BackupForked or StoreNotEmpty unless the store is empty."""
    head = tx.execute("SELECT seq, digest FROM ledger_head WHERE id = 1")
    if head and content.head_seq >= 0:
        line = tx.execute("SELECT line FROM ledger_lines WHERE seq = ?", (min(content.head_seq, head[0][0]),))
        if content.head_seq <= head[0][0] and (not line or chain.digest(line[0][0]) != content.head_digest):
            raise BackupForked(f"line {content.head_seq} of the ledger is another one in the backup than in the store")
        if content.head_seq < head[0][0]:
            raise BackupOlder(f"the backup ends at ledger line {content.head_seq}, the store at line {head[0][0]}")
    filled = [name for name, rows in copying.count(tx, copying.lasting()).items() if rows]
    if filled:
        raise StoreNotEmpty(f"the store is not empty: {', '.join(filled)}")
