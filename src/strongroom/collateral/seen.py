"""Remember the newest collateral ever seen, so that neither a source, a cache nor a clock can go back behind it.

World: `seen.json` in the cache folder. Kept for each root and subject: the highest number (evaluation number, CRL
number) and, for revocation lists, the latest issue; and over all, the latest time that genuine collateral was signed,
which no true clock can be before. What is recorded was verified first, so a liar cannot poison it. A host that rolls
back the whole folder is not noticed here: `min_eval_num` is for that. Source: threats TCB-08, SA-15.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.attestation.rollback import CollateralRollback
from strongroom.attestation.validity import parse_timestamp, timestamp
from strongroom.collateral.api import CRLS, Kind
from strongroom.collateral.cache import hold, remove_drafts
from strongroom.collateral.checks import Checked
from strongroom.collateral.freshness import CLOCK_TOLERANCE
from strongroom.errors import Refused, Tampered, Unreachable
from strongroom.pki import disk
from strongroom.wire import strict_json

MAX_SEEN_BYTES: Final = 1024 * 1024
_FORMAT: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ClockBehind(Refused):
    """This machine's clock is before a time at which collateral that it has seen was signed."""

    code = "SR-CLOCK-BEHIND"
    fix = "Set the clock from a source you trust, and find out who set it back."


class SeenDamaged(Tampered):
    """The record of the newest collateral seen cannot be read, so a rollback could not be noticed."""

    code = "SR-COLLATERAL-SEEN"
    fix = "Find out who wrote to the cache folder; then remove seen.json: from then on the record starts anew."


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The newest that was seen of one subject."""

    number: int = 0
    issued: datetime = _EPOCH


@dataclass(slots=True, kw_only=True)
class _Marks:
    latest: datetime = _EPOCH
    marks: dict[str, Mark] = field(default_factory=dict)


class SeenUnwritten(Unreachable):
    """Newer collateral was seen, but that cannot be recorded, so going back behind it would not be noticed later."""

    code = "SR-COLLATERAL-SEEN-WRITE"
    fix = "Make room on the disk, or name a cache folder that this user may write; what is cached serves meanwhile."


class Seen:
    """The record, shared by processes through its file, or in memory alone where there is no folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / "seen.json" if folder else None
        self._memory = _Marks()
        self._read_at: tuple[int, int, int] | None = None  # the file's state when `_memory` was read from it

    def check_clock(self, at: datetime) -> None:
        """Raise ClockBehind if `at` cannot be the time."""
        latest = self._load().latest
        if at < latest - CLOCK_TOLERANCE:
            raise ClockBehind(
                f"the clock says {timestamp(at)}, but collateral signed at {timestamp(latest)} has been seen here"
            )

    def check(self, checked: Checked) -> None:
        """Raise CollateralRollback for something older than was seen."""
        mark = self._load().marks.get(_name(checked))
        if mark is None:
            return
        if checked.number < mark.number:
            raise CollateralRollback(f"{checked.subject} has the number {checked.number}, seen was {mark.number}")
        if _is_list(checked) and checked.span.issued < mark.issued:
            raise CollateralRollback(
                f"{checked.subject} is of {timestamp(checked.span.issued)}, seen was one of {timestamp(mark.issued)}"
            )

    def record(self, checked: Checked) -> None:
        """Remember something that was verified and is current.

        Raises CollateralRollback if it is older after all, SeenUnwritten where the record cannot be kept. A PCK
        certificate has neither number nor issue to go back behind; machines must not make the record grow.
        """
        if checked.span.kind is Kind.PCK_CERT:
            return
        try:
            self._record(checked)
        except OSError as problem:
            raise SeenUnwritten(f"{self._path}: {problem.strerror}") from None

    def _record(self, checked: Checked) -> None:
        with self._alone():
            self.check(checked)
            known = deepcopy(self._load())
            name = _name(checked)
            mark = Mark(number=checked.number, issued=checked.span.issued if _is_list(checked) else _EPOCH)
            if known.marks.get(name) == mark and checked.span.issued <= known.latest:
                return
            known.marks[name] = mark
            known.latest = max(known.latest, checked.span.issued)
            self._store(known)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._path is None:
            yield
            return
        with hold(self._path.with_name("seen.lock")):
            yield

    def _load(self) -> _Marks:
        if self._path is None:
            return self._memory
        try:
            state = self._path.stat()
            stamp = (state.st_ino, state.st_size, state.st_mtime_ns)
            if stamp != self._read_at:
                self._memory = _parse(disk.read_bounded(self._path, limit=MAX_SEEN_BYTES), self._path)
                self._read_at = stamp
        except FileNotFoundError:
            return self._memory  # removed while we run: what this process has seen still counts
        except (OSError, disk.FileTooLong) as problem:
            raise SeenDamaged(f"{self._path} cannot be read: {problem}") from None
        return self._memory

    def _store(self, known: _Marks) -> None:
        self._memory, self._read_at = known, None
        if self._path is None:
            return
        value = {
            "format": _FORMAT,
            "latest": timestamp(known.latest),
            "marks": {
                name: {"number": mark.number, "issued": timestamp(mark.issued)} for name, mark in known.marks.items()
            },
        }
        remove_drafts(self._path)
        with disk.new_file(self._path, disk.SECRET_MODE, json.dumps(value, indent=1).encode("ascii")) as temporary:
            temporary.replace(self._path)
            disk.sync_folder(self._path.parent)


def _name(checked: Checked) -> str:
    return f"{checked.root_key_id[:32]} {checked.subject}"


def _is_list(checked: Checked) -> bool:
    """Whether it is a revocation list: Intel numbers them all alike, so the time of issue tells old from new."""
    return checked.span.kind in CRLS


def _parse(data: bytes, path: Path) -> _Marks:
    def damaged(sentence: str) -> SeenDamaged:
        return SeenDamaged(f"{path}: {sentence}")

    value = strict_json.loads(data, what="the record", error=damaged)
    if not isinstance(value, dict) or value.get("format") != _FORMAT or not isinstance(value.get("marks"), dict):
        raise damaged("this is not a record of collateral seen")
    marks = {}
    for name, mark in value["marks"].items():
        number = mark.get("number") if isinstance(mark, dict) else None
        if not isinstance(number, int) or isinstance(number, bool):
            raise damaged(f"{name[:64]!r} has no number")
        issued = parse_timestamp(str(mark.get("issued")), what="issued", error=damaged)
        marks[name] = Mark(number=number, issued=issued)
    return _Marks(latest=parse_timestamp(str(value.get("latest")), what="latest", error=damaged), marks=marks)
