"""Look at a source, a cache or a file as an operator would: does it answer, does it hold, how long does it last?

World: what the sources touch. Nothing is kept and nothing raised: findings say what is wrong and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from strongroom.attestation import Anchor
from strongroom.attestation.crl import Crl
from strongroom.attestation.validity import timestamp
from strongroom.collateral.answering import AnswerSource, SourceFailed
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import Exchange
from strongroom.collateral.checks import Checked, Circumstances, check
from strongroom.collateral.freshness import Freshness, Standing
from strongroom.errors import StrongroomError

MAX_SKEW: Final = timedelta(minutes=5)
GOOD: Final = frozenset({Standing.CURRENT, Standing.DUE})


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFinding:
    """What one answer is, or why there is none."""

    what: str
    source: str
    problem: str = ""
    code: str = ""
    fix: str = ""
    number: int | None = None
    issued: datetime | None = None
    next_update: datetime | None = None
    ends: datetime | None = None  # by the owner's rules
    refresh_at: datetime | None = None
    standing: Standing | None = None

    @property
    def good(self) -> bool:
        """Whether it can be used for a while yet."""
        return self.standing in GOOD

    def days_left(self, at: datetime) -> float | None:
        """Return the days until it ends; negative once it has."""
        return None if self.ends is None else (self.ends - at) / timedelta(days=1)

    def to_json_object(self, at: datetime) -> dict[str, object]:
        """Return the finding as a machine reads it."""
        left = self.days_left(at)
        moments = {"issued": self.issued, "next_update": self.next_update, "ends": self.ends,
                   "refresh_at": self.refresh_at}  # fmt: skip
        return {
            "what": self.what,
            "source": self.source,
            "standing": self.standing and self.standing.name.lower(),
            "number": self.number,
            **{name: moment and timestamp(moment) for name, moment in moments.items()},
            "days_left": None if left is None else round(left, 2),
            "problem": self.problem or None,
            "code": self.code or None,
            "fix": self.fix or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFinding:
    """How one source answers: its parts, and how far its clock is from ours."""

    name: str
    parts: tuple[PartFinding, ...]
    skew: timedelta | None  # its HTTP Date minus our clock, if it sends one
    notes: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it can serve a verifier now."""
        return bool(self.parts) and all(part.good for part in self.parts)

    @property
    def skewed(self) -> bool:
        """Whether one of the two clocks is wrong."""
        return self.skew is not None and abs(self.skew) > MAX_SKEW


def examine_source(
    source: AnswerSource,
    requests: Sequence[Request],
    *,
    anchors: Sequence[Anchor],
    rules: Freshness,
    clock: Callable[[], datetime],
    notes: Iterable[str] = (),
) -> SourceFinding:
    """Ask a source each of `requests`, the root CRL first if the others are to be checked, and say what came back.

    A source that does not answer at all is asked once.
    """
    parts: list[PartFinding] = []
    skew: timedelta | None = None
    root_crl: Crl | None = None
    for request in requests:
        try:
            answer = source.answer(request)
        except StrongroomError as problem:
            parts.append(_refused(request, source.name, problem))
            if isinstance(problem, SourceFailed) and problem.status is None:
                break  # nobody answered, or not by the API: asking on would say and take the same once more
            continue
        skew = _skew(answer, clock()) if skew is None else skew
        under = Circumstances(anchors=tuple(anchors), at=clock(), root_crl=root_crl)
        finding, checked = examine_answer(Exchange(request, answer), source.name, under, rules)
        if root_crl is None and checked is not None:
            root_crl = checked.crl
        parts.append(finding)
    return SourceFinding(name=source.name, parts=tuple(parts), skew=skew, notes=tuple(notes))


def examine_all(
    exchanges: Sequence[tuple[Exchange, str]], *, anchors: Sequence[Anchor], rules: Freshness, at: datetime
) -> Iterator[PartFinding]:
    """Yield a finding for each answer at hand; the second of each pair is its source."""
    lists = _root_lists(exchanges, anchors, at)
    for exchange, source in exchanges:
        findings = []
        for anchor in anchors:
            under = Circumstances(anchors=(anchor,), at=at, root_crl=lists.get(anchor.root_key_id))
            finding, _ = examine_answer(exchange, source, under, rules)
            findings.append(finding)
        yield next((each for each in findings if each.standing is not None), findings[0])


def examine_answer(
    exchange: Exchange, source: str, under: Circumstances, rules: Freshness
) -> tuple[PartFinding, Checked | None]:
    """Return what an answer is, and the checked answer if it holds."""
    try:
        checked = check(exchange, under)
    except StrongroomError as problem:
        return _refused(exchange.request, source, problem), None
    span = checked.span
    finding = PartFinding(
        what=checked.subject,
        source=source,
        number=checked.number,
        issued=span.issued,
        next_update=span.until,
        ends=span.end(rules),
        refresh_at=span.refresh_at(rules),
        standing=span.standing(rules, under.at),
    )
    return finding, checked


def _root_lists(exchanges: Sequence[tuple[Exchange, str]], anchors: Sequence[Anchor], at: datetime) -> dict[str, Crl]:
    found: dict[str, Crl] = {}
    for exchange, _ in exchanges:
        if exchange.request.kind is Kind.ROOT_CRL:
            try:
                checked = check(exchange, Circumstances(anchors=tuple(anchors), at=at))
            except StrongroomError:
                continue  # its own finding says so
            if checked.crl is not None:
                found[checked.root_key_id] = checked.crl
    return found


def _refused(request: Request, source: str, problem: StrongroomError) -> PartFinding:
    asked = " ".join((request.tee.value, request.kind.value, *request.parameters.values()))[:80]
    return PartFinding(what=asked, source=source, problem=problem.sentence, code=problem.code, fix=problem.fix)


def _skew(answer: Answer, now: datetime) -> timedelta | None:
    try:
        sent = parsedate_to_datetime(answer.header("Date") or "")
    except (TypeError, ValueError, OverflowError):  # a header can hold any number of digits
        return None
    return None if sent.tzinfo is None else sent - now
