"""The ledger's page: its latest lines, and what a walk over it came to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from strongroom.broker.console.decision_views import decision
from strongroom.broker.console.facts import Check, Line
from strongroom.broker.console.wording import Moment, Tone, count, milliseconds, moment, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """One line of any kind, in a few words."""

    seq: int
    when: Moment
    kind: str
    what: str
    href: str  # empty: there is no page about it


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """A walk over the ledger, as it runs or as it ended."""

    title: str
    text: str
    tone: Tone
    running: bool
    done: int
    total: int
    percent: int
    code: str
    fix: str
    when: Moment


def lines(found: Iterable[Line], now_ms: int) -> tuple[LineView, ...]:
    """Return lines as a table shows them."""
    return tuple(
        LineView(
            seq=line.seq,
            when=moment(milliseconds(line.entry.get("time")), now_ms),
            kind=plain(line.entry.get("kind")),
            what=_what(line, now_ms),
            href=f"decisions/{line.seq}" if line.entry.get("kind") == "decision" else "",
        )
        for line in found
    )


def _what(line: Line, now_ms: int) -> str:
    entry = line.entry
    if entry.get("kind") == "decision":
        view = decision(line, now_ms)
        return f"granted {view.asked} to {view.peer}" if view.granted else f"denied {view.peer}: {view.why}"
    if entry.get("kind") == "admin":
        return _admin(entry)
    if entry.get("kind") == "root":
        return f"signed root over {plain(entry.get('size'))} lines"
    if entry.get("kind") == "denials":
        return f"{plain(entry.get('count'))} denials of a flood, counted together"
    names = ("tenant", "version", "rules", "secret", "rule", "problem", "reason")
    words = [f"{name} {plain(entry[name])}" for name in names if entry.get(name) not in (None, "")]
    return ", ".join(words) or "–"


def _admin(entry: Mapping[str, Any]) -> str:
    actor = entry.get("actor")
    who = actor.get("name") if isinstance(actor, Mapping) else actor
    names = ("tenant", "secret", "version", "lease", "admin", "role", "value", "reason")
    about = [plain(entry[name]) for name in names if entry.get(name) not in (None, "")]
    action = plain(entry.get("action")).replace("_", " ")
    return f"{plain(who)}: {action}" + (f" ({', '.join(about)})" if about else "")


def check(found: Check | None, now_ms: int) -> CheckView | None:
    """Return what a walk came to in words; None where nobody asked for one."""
    if found is None:
        return None
    title, text, tone = _said(found)
    return CheckView(
        title=title,
        text=text,
        tone=tone,
        running=found.running,
        done=found.done,
        total=max(1, found.total),
        percent=min(100, 100 * found.done // max(1, found.total)),
        code=found.code,
        fix=found.fix,
        when=moment(found.began_ms, now_ms),
    )


def _said(found: Check) -> tuple[str, str, Tone]:
    if found.running:
        of = f" of {found.total:,}" if found.total else ""
        return "Walking the ledger", f"{found.done:,}{of} lines hold so far.", Tone.NOTE
    if found.found is None:
        return "The ledger does not hold", found.problem, Tone.BAD
    roots = count(found.found.roots, "signed root")
    signed = "with good signatures" if found.found.checked else "whose signatures were not checked"
    size = count(found.found.size, "line")
    text = f"{size}, each behind the one before it; {roots} over them, {signed}. Last: {found.found.head.digest}."
    return "The ledger holds", text, Tone.GOOD
