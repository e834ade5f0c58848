"""Say in sentences what a new policy file admits or refuses that the old one did not.

Pure. Rules are compared by meaning: names, order and spelling do not count. A widening is never missed: where it is not
proved that everything the new file releases the old one released too, the change counts as wider.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from strongroom.attestation.policy.compare import FIELDS, fields_of, not_covered
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.policy.kinds import Kind
from strongroom.broker.policy.overlap import may_overlap, signer_value
from strongroom.broker.policy.text import identity_of
from strongroom.broker.policy.words import IDENTITY_KINDS, WORDS, value_of
from strongroom.broker.release import ReleaseRule

_BY_SIGNATURE: Final = (
    "mrsigner",
    "isvprodid",
    "min_isvsvn",
)  # compared for the whole rule, in whichever part it stands
NOT_COMPARED: Final = "not compared"


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
    wider = [*_newly_admitted(old.rules, new.rules), *_no_longer_ambiguous(old.rules, new.rules)]
    return PolicyDiff(tuple(wider), tuple(_newly_refused(old.rules, new.rules)))


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
    if old.release != new.release:
        found.append("release")
    return tuple(found)


def _newly_admitted(old: Sequence[ReleaseRule], new: Sequence[ReleaseRule]) -> Iterator[Finding]:
    for rule in new:
        if any(_may_cover(before, rule) and not not_covered_by(before, rule) for before in old):
            continue
        before = _counterpart(rule, old)
        if before is None:
            what = f"rule {rule.name!r} is new: it releases {rule.release} to {identity_of(rule)}"
            yield Finding(rule=rule.name, sentence=what)
        else:
            words = tuple(word_changes(before, rule))
            yield Finding(rule=rule.name, sentence=f"rule {rule.name!r} admits more than before", words=words)


def _newly_refused(old: Sequence[ReleaseRule], new: Sequence[ReleaseRule]) -> Iterator[Finding]:
    for rule in old:
        if any(_may_cover(after, rule) and not not_covered_by(after, rule) for after in new):
            continue
        after = _counterpart(rule, new)
        if after is None:
            what = f"rule {rule.name!r} is gone: it released {rule.release} to {identity_of(rule)}"
            yield Finding(rule=rule.name, sentence=what)
        else:
            words = tuple(word_changes(rule, after))
            yield Finding(rule=rule.name, sentence=f"rule {rule.name!r} admits less than before", words=words)


def _no_longer_ambiguous(old: Sequence[ReleaseRule], new: Sequence[ReleaseRule]) -> Iterator[Finding]:
    """Where two rules would give different secrets nothing is released: to take one away can admit more."""
    for rule in new:
        for other in old:
            if other.release == rule.release or not may_overlap(other, rule):
                continue
            if any(each.release != rule.release and _covers_elsewhere(each, other) for each in new):
                continue
            yield Finding(
                rule=rule.name,
                sentence=f"rule {rule.name!r} now releases {rule.release} also to what fulfilled {other.name!r}:"
                f" a program that fulfilled both got nothing, or {other.release}",
            )
            break


def _covers_elsewhere(after: ReleaseRule, rule: ReleaseRule) -> bool:
    """Return whether everything that fulfilled `rule` fulfils `after`, whatever the two release."""
    return not set(not_covered_by(after, rule)) - {"release"}


def _may_cover(wide: ReleaseRule, narrow: ReleaseRule) -> bool:
    """Return False where a glance shows that `wide` does not cover `narrow`: files hold many rules."""
    same_program = wide.policy.mrenclave in {None, narrow.policy.mrenclave} and wide.policy.mrtd == narrow.policy.mrtd
    return same_program and wide.release == narrow.release


def _counterpart(rule: ReleaseRule, others: Sequence[ReleaseRule]) -> ReleaseRule | None:
    """Return the rule that an owner would call the same: of this name, else for this program and secret."""
    for other in others:
        if other.name == rule.name:
            return other
    return next(
        (each for each in others if each.release == rule.release and identity_of(each) == identity_of(rule)), None
    )


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
    yield "release", before.release, after.release


def _written(kind: Kind, value: object) -> str:
    return NOT_COMPARED if value is None else kind.write(value)


def _identity_value(rule: ReleaseRule, word: str) -> object:
    if word == "max_isvsvn":
        return rule.signature.max_isvsvn
    return getattr(rule.policy, word) if word in {"mrenclave", "mrtd"} else signer_value(rule, word)
