"""Collateral that keeps itself fresh: several sources in order, a shared cache, and the owner's rules about age.

World: the network, the cache and a clock, all handed in. Each answer is verified before it is kept or used, whatever it
came from; the verification of the quote checks it again. An outdated, wrong or silent source is passed over; when all
fail, the quote is not judged, and the refusal names what each said. Source: specification sections 11.4 and 12.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from strongroom.attestation import Anchor, CertificationType, Collateral, Quote
from strongroom.attestation.validity import timestamp
from strongroom.attestation.verify import pck_chain_of
from strongroom.collateral import gather
from strongroom.collateral.answering import AnswerSource, Closable, SourceFailed
from strongroom.collateral.api import Answer, Kind, Request
from strongroom.collateral.assemble import Exchange, issuer_chain
from strongroom.collateral.cache import Entry, MemoryStore, Stamp, Store, key_of
from strongroom.collateral.checks import Circumstances, check, check_links, pem_chain
from strongroom.collateral.folder import CollateralUnavailable
from strongroom.collateral.freshness import (
    CLOCK_TOLERANCE,
    FAILURE_LIFETIME,
    NEGATIVE_LIFETIME,
    RETRY_INTERVAL,
    SERVES,
    SILENT_FOR,
    Freshness,
    Standing,
)
from strongroom.collateral.parts import AllFailed, Audit, CollateralTooOld, GraceUse, Part
from strongroom.collateral.recent import Recent
from strongroom.collateral.seen import ClockBehind, Seen
from strongroom.errors import StrongroomError

_NUMBERED: Final = frozenset({Kind.TCB, Kind.QE_IDENTITY})
_log = logging.getLogger("strongroom.collateral")


def log_grace(use: GraceUse) -> None:
    """Record a use of the grace in the log."""
    for part in use.parts:
        _log.warning("collateral in grace for FMSPC %s: %s ended at %s", use.fmspc, part.checked.subject,
                     timestamp(part.checked.span.until))  # fmt: skip


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What all sources said, and from when to when that is believed without asking again."""

    failed: AllFailed
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Assembled:
    """Collateral of a platform, and the parts that it was made of."""

    requests: tuple[Request, ...]
    parts: tuple[Part, ...]
    collateral: Collateral


class LiveSource:
    """A CollateralSource over servers and files. Threads may share it; processes share its store."""

    def __init__(
        self,
        sources: Sequence[AnswerSource],
        *,
        anchors: Sequence[Anchor],
        rules: Freshness | None = None,
        choice: gather.Choice | None = None,
        store: Store | None = None,
        seen: Seen | None = None,
        audit: Audit = log_grace,
        clock: Callable[[], datetime] = utc_now,
        jitter: float = 0.0,
    ) -> None:
        self._sources = tuple(sources)
        self._anchors = tuple(anchors)
        self.rules = rules or Freshness()
        self.choice = choice or gather.Choice()
        self._store = store or MemoryStore()
        self._seen = seen or Seen()
        self._audit = audit
        self._clock = clock
        self._jitter = jitter
        self._held: Recent[str, tuple[Stamp, Part]] = Recent()
        self._platforms: Recent[bytes, gather.Platform] = Recent()  # by the certificates that a quote carries
        self._failed: Recent[str, _Failure] = Recent()
        self._wanted: Recent[str, tuple[Request, tuple[Anchor, ...]]] = Recent()
        self._tried: Recent[str, datetime] = Recent()
        self._silent: Recent[str, datetime] = Recent()  # sources by name, and until when they are asked last
        self._assembled: Recent[gather.Platform, _Assembled] = Recent()

    def collateral_for(self, quote: Quote) -> Collateral:
        """Return fresh collateral for a quote.

        Raises CollateralUnavailable, CollateralTooOld, CollateralRollback, ClockBehind, or EvidenceRefused for a quote
        whose PCK chain does not end at an anchor: for such a quote nobody is asked.
        """
        at = self._clock()
        if quote.certification_type is not CertificationType.PCK_CHAIN:
            return self._collateral(gather.platform_of(quote, self._asker(at)), at)
        name = hashlib.sha256(quote.tee.value.encode() + quote.certification_data).digest()
        platform = self._platforms.get(name)
        if platform is None:
            check_links(pck_chain_of(quote), self._anchors, at=at)
            platform = gather.platform_of(quote, self._asker(at))
            self._platforms.put(name, platform)
        return self._collateral(platform, at)

    def at_hand(self, quote: Quote) -> Collateral | None:
        """Return what `collateral_for` would, where every part is held, unchanged and fresh; None where it may wait.

        The store's stamp of each part is looked at, nobody is asked, and nothing is verified anew.
        """
        if quote.certification_type is not CertificationType.PCK_CHAIN:
            return None
        name = hashlib.sha256(quote.tee.value.encode() + quote.certification_data).digest()
        platform = self._platforms.get(name)
        assembled = None if platform is None else self._assembled.get(platform)
        if platform is None or assembled is None or platform.root_key is None or platform.leaf is not None:
            return None
        at, anchors = self._clock(), self._anchors_of(platform.root_key)
        try:
            self._seen.check_clock(at)
        except StrongroomError:
            return None  # `collateral_for` says it
        roots = tuple(anchor.root_key_id for anchor in anchors)
        for request, part in zip(assembled.requests, assembled.parts, strict=True):
            key = key_of(request, roots)
            held = self._held.get(key)
            if held is None or held[1] is not part or held[0] != self._store.stamp(key) or not self._serves(part, at):
                return None
        return assembled.collateral

    def collateral_of(self, platform: gather.Platform) -> Collateral:
        """Return fresh collateral for a platform; raises as `collateral_for` does."""
        return self._collateral(platform, self._clock())

    def close(self) -> None:
        """Let go of servers that do not answer, and ask nobody any more; what is held serves on."""
        for source in self._sources:
            if isinstance(source, Closable):
                source.close()

    def parts(self) -> tuple[Part, ...]:
        """Return the verified parts that were used so far."""
        return tuple(part for _, (_, part) in self._held.items())

    def _collateral(self, platform: gather.Platform, at: datetime) -> Collateral:
        """Return collateral; where nothing says which root the platform ends at, the anchors are tried in turn."""
        if platform.root_key is not None:
            return self._below(platform, at)
        problems: list[StrongroomError] = []
        for anchor in self._anchors:
            try:
                return self._below(replace(platform, root_key=anchor.public_key), at)
            except StrongroomError as problem:
                problems.append(problem)
        raise next(iter(problems), CollateralUnavailable("no root is trusted, so nothing can be fetched"))

    def _below(self, platform: gather.Platform, at: datetime) -> Collateral:
        if platform.leaf is not None:
            self._check_leaf(platform, at)
        held = self._assembled.get(platform)
        requests = held.requests if held else gather.questions(platform, self.choice).all()
        anchors = self._anchors_of(platform.root_key)
        parts = tuple(self._part(request, anchors, at) for request in requests)
        late = tuple(part for part in parts if part.checked.span.standing(self.rules, at) is Standing.GRACE)
        if late:
            self._audit(GraceUse(at=at, fmspc=platform.fmspc, parts=late))
        if held is not None and all(one is other for one, other in zip(held.parts, parts, strict=True)):
            return held.collateral  # the same object, by which a verifier knows what it has checked before
        answers = {part.exchange.request: part.exchange.answer for part in parts}
        found = gather.collateral_of(platform, lambda request, _root: answers[request], self.choice)
        self._assembled.put(platform, _Assembled(requests=requests, parts=parts, collateral=found))
        return found

    def _check_leaf(self, platform: gather.Platform, at: datetime) -> None:
        """Check that a lone PCK certificate comes from its CA, before anybody is asked about the platform it names."""
        asked = self._asker(at)(gather.pck_crl_request(platform.ca), platform.root_key)
        chain = issuer_chain(gather.pck_crl_request(platform.ca), asked)
        check_links(pem_chain(f"{platform.leaf}\n{chain}", "the PCK chain"), self._anchors, at=at)

    def _asker(self, at: datetime) -> gather.Ask:
        return lambda request, root_key: self._part(request, self._anchors_of(root_key), at).exchange.answer

    def _anchors_of(self, root_key: bytes | None) -> tuple[Anchor, ...]:
        return tuple(each for each in self._anchors if root_key in {None, each.public_key})

    def _part(self, request: Request, anchors: tuple[Anchor, ...], at: datetime) -> Part:
        """Return a verified part that serves at `at`: from the store, or from the first source that has one."""
        self._seen.check_clock(at)
        under = self._circumstances(request, anchors, at)
        key = key_of(request, tuple(anchor.root_key_id for anchor in anchors))
        self._wanted.put(key, (request, anchors))
        held = self._kept(key, request, under)
        if held is not None and self._serves(held, at):
            return held
        with self._store.locked(key):
            held = self._kept(key, request, under)  # somebody else may have asked meanwhile
            if held is not None and self._serves(held, at):
                return held
            try:
                self._check_failed_before(key, at)
                return self._renew(key, request, under, at)
            except AllFailed as failed:
                self._remember(key, failed, at)
                late = self._in_grace((held, failed.stale), at)
                if late is None:
                    raise failed.error() from None
                return late

    def _circumstances(self, request: Request, anchors: tuple[Anchor, ...], at: datetime) -> Circumstances:
        if request.kind is Kind.ROOT_CRL:
            return Circumstances(anchors=anchors, at=at)
        if len(anchors) == 1:
            root = self._part(gather.ROOT_CRL_REQUEST, anchors, at)
            return Circumstances(anchors=anchors, at=at, root_crl=root.checked.crl)
        return Circumstances(anchors=anchors, at=at)  # a PCK certificate: its chain will say which root

    def _kept(self, key: str, request: Request, under: Circumstances) -> Part | None:
        """Return what the store holds, verified; None, with a notice, for what does not hold any more."""
        stamp = self._store.stamp(key)
        remembered = self._held.get(key)
        if remembered is not None and remembered[0] == stamp:
            return remembered[1]
        entry = self._store.load(key)
        if entry is None:
            return None
        try:
            part = self._verified(request, entry.answer, entry.source, under, fetched=entry.fetched)
        except StrongroomError as problem:
            _log.warning("the cached answer to %s from %s is not used: %s", request.path, entry.source, problem)
            return None
        if entry.request != request or entry.fetched > under.at + CLOCK_TOLERANCE:
            _log.warning("the cached answer to %s is not used: it is another one's or from the future", request.path)
            return None
        self._held.put(key, (stamp, part))
        return part

    def _verified(
        self, request: Request, answer: Answer, source: str, under: Circumstances, *, fetched: datetime
    ) -> Part:
        """Return an answer as a part if it holds under the anchors, the owner's rules and what has been seen."""
        exchange = Exchange(request, answer)
        checked = check(exchange, under)
        if request.kind in _NUMBERED and checked.number < self.rules.min_eval_num:
            raise CollateralTooOld(
                f"{checked.subject} has the number {checked.number}, at least {self.rules.min_eval_num} is wanted"
            )
        self._seen.check(checked)
        return Part(exchange=exchange, source=source, fetched=fetched, checked=checked)

    def _renew(self, key: str, request: Request, under: Circumstances, at: datetime) -> Part:
        """Ask the sources in order; keep and return the first answer that holds and is fresh."""
        part = self._fetch(request, under, at)
        self._seen.record(part.checked)
        entry = Entry(request=request, answer=part.exchange.answer, source=part.source, fetched=part.fetched)
        try:
            self._store.save(key, entry)
        except OSError as problem:  # a full disk stops nobody: this process goes on with what it holds
            _log.error("collateral cache: the answer to %s is not kept: %s", request.path, problem)
        self._held.put(key, (self._store.stamp(key), part))
        self._failed.forget(key)
        return part

    def _fetch(self, request: Request, under: Circumstances, at: datetime) -> Part:
        failures: list[tuple[str, StrongroomError]] = []
        stale: Part | None = None
        for source in self._in_order(at):
            try:
                part = self._verified(request, source.answer(request), source.name, under, fetched=at)
                standing = part.checked.span.standing(self.rules, at)
                if standing in SERVES:
                    return part
                if standing is Standing.GRACE:
                    stale = stale or part
                raise self._outside(part, standing, at)
            except StrongroomError as problem:
                _log.info("%s: %s: %s", source.name, request.path, problem)
                failures.append((source.name, problem))
                if isinstance(problem, SourceFailed) and problem.status is None:
                    self._silent.put(source.name, self._clock() + SILENT_FOR)
        raise AllFailed(request, failures, stale)

    def _in_order(self, at: datetime) -> list[AnswerSource]:
        """Return the sources, those that lately did not answer at all last: a dead one must not delay each part."""
        silent = {name for name, until in self._silent.items() if at < until}
        return sorted(self._sources, key=lambda source: source.name in silent)

    def _outside(self, part: Part, standing: Standing, at: datetime) -> StrongroomError:
        """Return the refusal of a part whose time is not now."""
        what, span = part.checked.subject, part.checked.span
        if standing is Standing.FUTURE:
            return ClockBehind(f"{what} was signed at {timestamp(span.issued)}, but the clock says {timestamp(at)}")
        return CollateralTooOld(f"{what} served until {timestamp(span.end(self.rules))}, now is {timestamp(at)}")

    def _in_grace(self, candidates: tuple[Part | None, ...], at: datetime) -> Part | None:
        late = [part for part in candidates if part is not None]
        late = [part for part in late if part.checked.span.standing(self.rules, at) is Standing.GRACE]
        return max(late, key=lambda part: part.checked.span.issued, default=None)

    def _serves(self, part: Part, at: datetime) -> bool:
        return part.checked.span.standing(self.rules, at) in SERVES

    def _check_failed_before(self, key: str, at: datetime) -> None:
        failure = self._failed.get(key)
        if failure is not None and failure.since <= at < failure.until:
            raise failure.failed.with_traceback(None)

    def _remember(self, key: str, failed: AllFailed, at: datetime) -> None:
        """Keep a failure for a short while: a flood of questions must not become a flood of requests."""
        known = self._failed.get(key)
        if known is None or known.failed is not failed:
            lifetime = NEGATIVE_LIFETIME if failed.definitive else FAILURE_LIFETIME
            self._failed.put(key, _Failure(failed, at, self._clock() + lifetime))  # asking may have taken long

    def refresh(self) -> datetime | None:
        """Renew what is due of everything asked for so far; return when the next part is due, None if nothing is."""
        at = self._clock()
        due = [self._refresh_one(key, *wanted, at) for key, wanted in self._wanted.items()]
        return min(due, default=None)

    def _refresh_one(self, key: str, request: Request, anchors: tuple[Anchor, ...], at: datetime) -> datetime:
        try:
            under = self._circumstances(request, anchors, at)
            due = self._due_at(key, self._kept(key, request, under), at)
            if due > at:
                return due
            with self._store.locked(key):
                held = self._kept(key, request, under)  # another process may have renewed it meanwhile
                if self._due_at(key, held, at) <= at:
                    self._tried.put(key, at)
                    held = self._renew(key, request, under, at)
            return self._due_at(key, held, at)
        except AllFailed as failed:
            self._alarm(key, failed.error(), at)
        except StrongroomError as problem:
            self._alarm(key, problem, at)
        return at + RETRY_INTERVAL

    def _due_at(self, key: str, part: Part | None, at: datetime) -> datetime:
        due = at if part is None else part.checked.span.refresh_at(self.rules, self._jitter)
        tried = self._tried.get(key)
        if tried is None or tried > at:  # a clock that jumped back must not keep it from being tried
            return due
        return max(due, tried + RETRY_INTERVAL)

    def _alarm(self, key: str, problem: StrongroomError, at: datetime) -> None:
        held = self._held.get(key)
        alarm = held is None or at >= held[1].checked.span.alarm_at(self.rules)
        _log.log(logging.ERROR if alarm else logging.WARNING, "collateral is not renewed: %s", problem)
