"""Say in sentences what a new policy file admits or refuses that the old one did not.

Pure. Rules are compared by meaning: names, order and spelling do not count. A widening is never missed: where it is not
proved that everything the new file releases the old one released too, the change counts as wider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from strongroom.attestation.policy.compare import FIELDS, fields_of, not_covered
from strongroom.broker.names import Pattern
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.kinds import Kind
from strongroom.broker.policy.overlap import Neighbours, for_gramine, may_overlap, signer_value
from strongroom.broker.policy.text import identity_of
from strongroom.broker.policy.words import IDENTITY_KINDS, LIMIT_WORDS, RELEASES, WORDS, value_of
from strongroom.broker.release import Limits, ReleaseRule

_BY_SIGNATURE: Final = (
    "mrsigner",
    "isvprodid",
    "min_isvsvn",
)  # compared for the whole rule, in whichever part it stands
NOT_COMPARED: Final = "not compared"
T = TypeVar("T")


class Change(StrEnum):
    """What a change of a word does by itself."""

    WIDER = "wider"
    NARROWER = "narrower"
    OTHER = "other"  # it admits some and refuses others


@dataclass(frozen=True, slots=True, kw_only=True)
class WordChange:
    """One word of a rule that says something else now."""

    word: str
    change: Change | None  # None: what is admitted stays the same
    before: str
    after: str

    def __str__(self) -> str:
        meaning = "changes nothing that is admitted" if self.change is None else self.change.value
        return f"{self.word}: was {self.before}, is {self.after} ({meaning})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule newly admits or refuses, with the words that changed."""

    rule: str
    sentence: str
    words: tuple[WordChange, ...] = ()

    def to_json_object(self) -> dict[str, object]:
        """Return the finding as a machine reads it."""
        words = [
            {"word": each.word, "change": each.change and each.change.value, "before": each.before, "after": each.after}
            for each in self.words
        ]
        return {"rule": self.rule, "sentence": self.sentence, "words": words}


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """What is newly admitted, and what newly refused. A change that does both is in both."""

    wider: tuple[Finding, ...]
    narrower: tuple[Finding, ...]


def diff(old: ReleasePolicy, new: ReleasePolicy) -> PolicyDiff:
    """Compare two policies."""
    before, after = _File(old.rules), _File(new.rules)
    wider = [
        *_newly_admitted(before, after),
        *_no_longer_ambiguous(before, after),
        *_no_longer_shorter(before, after),
    ]
    narrower = [*_newly_refused(before, after), *_no_longer_for_gramine(before, after)]
    return PolicyDiff(tuple(wider), tuple(narrower))


class _File:
    """The rules of a file, in their order and by what they name."""

    def __init__(self, rules: Sequence[ReleaseRule]) -> None:
        self.rules = rules
        self.near = Neighbours(rules)
        self.named = {rule.name: rule for rule in reversed(rules)}

    def covers(self, rule: ReleaseRule) -> bool:
        """Return whether one of the rules releases everything that `rule` does."""
        return any(_may_cover(each, rule) and not not_covered_by(each, rule) for each in self.near.of(rule))

    def counterpart(self, rule: ReleaseRule) -> ReleaseRule | None:
        """Return the rule that an owner would call the same: of this name, else for this program and secret."""
        if rule.name in self.named:
            return self.named[rule.name]
        alike = (each for each in self.near.of(rule) if each.patterns == rule.patterns)
        return next((each for each in alike if identity_of(each) == identity_of(rule)), None)


def not_covered_by(old: ReleaseRule, new: ReleaseRule) -> tuple[str, ...]:
    """Return the words by which `new` may release what `old` does not; none: everything it releases, `old` does too."""
    found = [field for field in not_covered(old.policy, new.policy) if field not in _BY_SIGNATURE]
    for word in ("mrsigner", "isvprodid"):
        before = signer_value(old, word)
        if before is not None and signer_value(new, word) != before:
            found.append(word)
    least, least_now = signer_value(old, "min_isvsvn"), signer_value(new, "min_isvsvn")
    if least is not None and (least_now is None or least_now < least):
        found.append("min_isvsvn")
    most, most_now = old.signature.max_isvsvn, new.signature.max_isvsvn
    if most is not None and (most_now is None or most_now > most):
        found.append("max_isvsvn")
    if old.require_fresh and not new.require_fresh:
        found.append("require_fresh")
    return (*found, *_released_beyond(old, new), *_limits_beyond(old.limits, new.limits))


def _released_beyond(old: ReleaseRule, new: ReleaseRule) -> Iterator[str]:
    """Yield the words by which a rule names secrets that another does not: the patterns, and the least version."""
    before, after = reach(old), reach(new)
    if all(any(wide.covers(each) for wide in before) for each in after):
        return
    if not all(any(wide.covers(each) for wide in _joined(old.patterns)) for each in new.patterns):
        yield "release"
    least, least_now = old.limits.min_model_version, new.limits.min_model_version
    if least is not None and (least_now is None or least_now < least):
        yield "min_model_version"


def reach(rule: ReleaseRule) -> list[Pattern]:
    """Return what a rule releases with its least version counted in, in as few patterns as it takes."""
    least = rule.limits.min_model_version
    if least is None:
        return _joined(rule.patterns)
    left = (each for each in rule.patterns if each.low is None or each.high is None or each.high >= least)
    return _joined([each if each.low is None else replace(each, low=max(each.low, least)) for each in left])


def _joined(patterns: Sequence[Pattern]) -> list[Pattern]:
    """Return patterns of the same meaning in which versions that touch are one range."""
    found: list[Pattern] = []
    for each in sorted(patterns, key=lambda pattern: (pattern.kind, pattern.name, pattern.low or 0)):
        last = found[-1] if found else None
        if last is None or (last.kind, last.name) != (each.kind, each.name) or last.low is None or each.low is None:
            found.append(each)
        elif last.high is None or last.high + 1 >= each.low:
            open_end = last.high is None or each.high is None
            found[-1] = replace(last, high=None if open_end else max(last.high or 0, each.high or 0))
        else:
            found.append(each)
    return found


def _limits_beyond(old: Limits, new: Limits) -> Iterator[str]:
    if old.max_leases is not None and (new.max_leases is None or new.max_leases > old.max_leases):
        yield "max_leases"
    if new.lease_seconds > old.lease_seconds:
        yield "lease_seconds"
    if old.until is not None and (new.until is None or new.until > old.until):
        yield "until"


def _newly_admitted(old: _File, new: _File) -> Iterator[Finding]:
    for rule in new.rules:
        if old.covers(rule):
            continue
        before = old.counterpart(rule)
        if before is None:
            what = f"rule {rule.name!r} is new: it releases {rule.release} to {identity_of(rule)}"
            yield Finding(rule=rule.name, sentence=what)
        else:
            words = tuple(word_changes(before, rule))
            yield Finding(rule=rule.name, sentence=f"rule {rule.name!r} admits more than before", words=words)


def _newly_refused(old: _File, new: _File) -> Iterator[Finding]:
    for rule in old.rules:
        if new.covers(rule):
            continue
        after = new.counterpart(rule)
        if after is None:
            what = f"rule {rule.name!r} is gone: it released {rule.release} to {identity_of(rule)}"
            yield Finding(rule=rule.name, sentence=what)
        else:
            words = tuple(word_changes(rule, after))
            yield Finding(rule=rule.name, sentence=f"rule {rule.name!r} admits less than before", words=words)


def _no_longer_ambiguous(old: _File, new: _File) -> Iterator[Finding]:
    """Where rules would give different secrets, Gramine's clients get none: to take one away can admit more."""
    elsewhere = _once(lambda rule: {each.single for each in new.near.of(rule) if _covers_elsewhere(each, rule)})
    for rule in new.rules:
        if rule.single is None:
            continue
        for other in old.near.of(rule):
            if other.single == rule.single or not may_overlap(other, rule) or elsewhere(other) - {rule.single}:
                continue
            but = "nothing" if other.single is None else f"nothing, or {other.release}"
            yield Finding(
                rule=rule.name,
                sentence=f"rule {rule.name!r} now releases {rule.release} also to what fulfilled {other.name!r}:"
                f" a program that fulfilled both and cannot ask by name got {but}",
            )
            break


def _covers_elsewhere(after: ReleaseRule, rule: ReleaseRule) -> bool:
    """Return whether everything that fulfilled `rule` fulfils `after`, whatever the two release, and how much of it."""
    if not _same_program(after, rule):
        return False
    return not set(not_covered_by(after, rule)) - {"release", "min_model_version", "max_leases", "lease_seconds"}


def _no_longer_shorter(old: _File, new: _File) -> Iterator[Finding]:
    """Where several rules hold, the one with the most leases says how long they are: without it they can be longer."""
    replaced = _once(lambda rule: any(_covers_limits(each, rule) for each in new.near.of(rule)))
    for rule in new.rules:
        for other in old.near.of(rule):
            if other.limits.lease_seconds >= rule.limits.lease_seconds or not _more_leases(other.limits, rule.limits):
                continue
            if not may_overlap(other, rule) or replaced(other):
                continue
            yield Finding(
                rule=rule.name,
                sentence=f"rule {rule.name!r} now lends for {rule.limits.lease_seconds} s what a program that also"
                f" fulfilled {other.name!r} had for {other.limits.lease_seconds} s",
            )
            break


def _once(ask: Callable[[ReleaseRule], T]) -> Callable[[ReleaseRule], T]:
    """Remember answers by rule, since each is asked for beside every rule that it may meet."""
    known: dict[int, T] = {}

    def answer(rule: ReleaseRule) -> T:
        if id(rule) not in known:
            known[id(rule)] = ask(rule)
        return known[id(rule)]

    return answer


def _more_leases(one: Limits, two: Limits) -> bool:
    return two.max_leases is not None and (one.max_leases is None or one.max_leases > two.max_leases)


def _covers_limits(after: ReleaseRule, rule: ReleaseRule) -> bool:
    """Return whether `after` takes the place of `rule` where leases are counted: as many, and no longer."""
    if not _same_program(after, rule) or after.limits.lease_seconds > rule.limits.lease_seconds:
        return False
    return not set(not_covered_by(after, rule)) - {"lease_seconds"}


def _no_longer_for_gramine(old: _File, new: _File) -> Iterator[Finding]:
    for rule in filter(for_gramine, old.rules):
        after = new.counterpart(rule)
        if after is not None and after.single is None and not for_gramine(after):
            yield Finding(
                rule=rule.name,
                sentence=f"rule {rule.name!r} is for clients that ask by name (KBS) now: Gramine's protocol cannot",
            )


def _may_cover(wide: ReleaseRule, narrow: ReleaseRule) -> bool:
    """Return False where a glance shows that `wide` does not cover `narrow`: files hold many rules."""
    first = narrow.patterns[0]
    return _same_program(wide, narrow) and any(
        (each.kind, each.name) == (first.kind, first.name) for each in wide.patterns
    )


def _same_program(wide: ReleaseRule, narrow: ReleaseRule) -> bool:
    """Return False where a glance at what the rules name shows that not every program of `narrow` is one of `wide`."""
    return wide.policy.mrenclave in {None, narrow.policy.mrenclave} and wide.policy.mrtd == narrow.policy.mrtd


def word_changes(before: ReleaseRule, after: ReleaseRule) -> Iterator[WordChange]:
    """Yield every word that says something else, in the order of the vocabulary."""
    wider, narrower = set(not_covered_by(before, after)), set(not_covered_by(after, before))
    entries = {field: entry for entry in FIELDS for field in fields_of(entry)}
    for word, old, new in _values(before, after):
        if old == new:
            continue
        entry = entries.get(_FIELD_OF.get(word, word), word)
        yield WordChange(word=word, change=_change(entry in wider, entry in narrower), before=old, after=new)


_FIELD_OF: Final = {word.name: word.field for word in WORDS}


def _change(wider: bool, narrower: bool) -> Change | None:
    if wider:
        return Change.OTHER if narrower else Change.WIDER
    return Change.NARROWER if narrower else None


def _values(before: ReleaseRule, after: ReleaseRule) -> Iterator[tuple[str, str, str]]:
    for word, kind in IDENTITY_KINDS.items():
        yield word, _written(kind, _identity_value(before, word)), _written(kind, _identity_value(after, word))
    for entry in WORDS:
        old, new = value_of(entry, before.policy), value_of(entry, after.policy)
        yield entry.name, _written(entry.kind, old), _written(entry.kind, new)
    yield "require_fresh", str(before.require_fresh).lower(), str(after.require_fresh).lower()
    yield "release", RELEASES.write(before.patterns), RELEASES.write(after.patterns)
    for entry in LIMIT_WORDS:
        values = (value_of(entry, rule.limits) for rule in (before, after))
        old, new = (entry.unnamed if value is None else entry.kind.write(value) for value in values)
        yield entry.name, old, new


def _written(kind: Kind, value: object) -> str:
    return NOT_COMPARED if value is None else kind.write(value)


def _identity_value(rule: ReleaseRule, word: str) -> object:
    if word == "max_isvsvn":
        return rule.signature.max_isvsvn
    return getattr(rule.policy, word) if word in {"mrenclave", "mrtd"} else signer_value(rule, word)
