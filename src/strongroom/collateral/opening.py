"""Put a live collateral source together from settings: sources, cache, memory of what was seen, audit.

World: the files that the settings name. Sources that are weaker than they should be are logged when they are opened.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from strongroom.attestation import Anchor
from strongroom.attestation.validity import timestamp
from strongroom.collateral import profiles, qcnl
from strongroom.collateral.answering import AnswerSource
from strongroom.collateral.cache import Cache, hold
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.parts import Audit, GraceUse
from strongroom.collateral.profiles import Profile
from strongroom.collateral.seen import Seen
from strongroom.collateral.settings import CollateralSettings
from strongroom.collateral.sources import LiveSource, log_grace, utc_now
from strongroom.errors import Unreachable
from strongroom.pki import disk

_log = logging.getLogger("strongroom.collateral")


class GraceUnrecorded(Unreachable):
    """Ended collateral would serve within the grace, but that cannot be recorded, so it does not."""

    code = "SR-COLLATERAL-AUDIT"
    fix = "Make audit.jsonl in the cache folder writable, and make room on the disk."


def open_sources(
    settings: CollateralSettings,
    *,
    anchors: Sequence[Anchor],
    base: Path,
    clock: Callable[[], datetime] = utc_now,
) -> LiveSource:
    """Return the collateral source that the settings describe; relative paths are below `base`.

    Raises UnknownSource, QcnlMalformed, LoosePermissions, or OSError for a file that cannot be read.
    """
    settings = with_qcnl(settings, base)
    cache = Cache(base / settings.cache) if settings.cache is not None else None
    return LiveSource(
        tuple(answer_sources(settings, base)),
        anchors=anchors,
        rules=settings.rules,
        choice=settings.choice,
        store=cache,
        seen=Seen(cache.folder if cache else None),
        audit=audit_file(cache.folder) if cache else log_grace,
        clock=clock,
        jitter=random.random(),  # noqa: S311  # spreads renewals, hides nothing
    )


def with_qcnl(settings: CollateralSettings, base: Path) -> CollateralSettings:
    """Return the settings with the update type of their qcnl.conf, where they do not ask for the early one."""
    if settings.qcnl is None or settings.choice.update != "standard":
        return settings
    return replace(settings, choice=replace(settings.choice, update=read_qcnl(base / settings.qcnl).tcb_update_type))


def read_qcnl(path: Path) -> qcnl.Qcnl:
    """Read a qcnl.conf."""
    return qcnl.parse(disk.read_bounded(path, limit=qcnl.MAX_QCNL_BYTES), name=str(path))


def answer_sources(settings: CollateralSettings, base: Path) -> Iterator[AnswerSource]:
    """Yield the sources in the order in which they are asked: those of qcnl.conf, then those that are named."""
    from strongroom.collateral.client import HttpSource, read_subscription_key  # who asks nobody loads no HTTP

    key = read_subscription_key(base / settings.subscription_key_file) if settings.subscription_key_file else None
    ca_file = base / settings.ca_file if settings.ca_file else None
    for each in _profiles(settings, base):
        if isinstance(each, Path):
            yield FileSource(each)
            continue
        for note in each.notes:
            _log.warning("collateral source %s: %s", each.name, note)
        yours = ca_file if each.base != profiles.INTEL_BASE else None  # a pinned CA is that of the PCCS
        ours = key if each.base == profiles.INTEL_BASE else None  # Intel's key is nobody else's business
        yield HttpSource(each, ca_file=yours, subscription_key=ours, choice=settings.choice)


def _profiles(settings: CollateralSettings, base: Path) -> Iterator[Profile | Path]:
    if settings.qcnl is not None:
        conf = read_qcnl(base / settings.qcnl)
        for note in conf.notes:
            _log.warning("%s", note)
        yield from profiles.from_qcnl(conf)
    for name in settings.sources:
        yield base / name if is_path(name) else profiles.find(name)


def is_path(name: str) -> bool:
    """Whether a source's name is a path: it holds a slash but no scheme, or starts with a dot."""
    return "://" not in name and ("/" in name or name.startswith("."))


def audit_file(folder: Path) -> Audit:
    """Return an audit that appends one line of JSON for each use of the grace to `audit.jsonl`, and logs it.

    The audit raises GraceUnrecorded where it cannot.
    """

    def record(use: GraceUse) -> None:
        try:
            _append(folder, use)
        except OSError as problem:
            raise GraceUnrecorded(f"{folder / 'audit.jsonl'}: {problem.strerror}") from None
        log_grace(use)

    return record


def _append(folder: Path, use: GraceUse) -> None:
    line = json.dumps({
        "at": timestamp(use.at),
        "event": "collateral-grace",
        "fmspc": use.fmspc,
        "parts": [
            {"what": part.checked.subject, "source": part.source, "until": timestamp(part.checked.span.until)}
            for part in use.parts
        ],
    })  # fmt: skip
    with hold(folder / "audit.lock"):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(folder / "audit.jsonl", flags, disk.SECRET_MODE)
        try:
            _write_whole(descriptor, line.encode("ascii") + b"\n")
        finally:
            os.close(descriptor)


def _write_whole(descriptor: int, line: bytes) -> None:
    """Append a line and sync it, or leave the file as it was: half a line would spoil the next one too."""
    size = os.fstat(descriptor).st_size
    if os.write(descriptor, line) != len(line):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)
