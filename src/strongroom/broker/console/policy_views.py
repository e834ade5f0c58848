"""The policy in force, its rules in sentences, and what a version changed. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from strongroom.broker.console.facts import PolicyFact
from strongroom.broker.console.wording import Badge, Moment, Tone, moment
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.diff import PolicyDiff, diff
from strongroom.broker.policy.file import PolicyFileMalformed, ReleasePolicy
from strongroom.broker.policy.text import describe
from strongroom.broker.release import ReleaseRule

MAX_DIFF_LINES: Final = 400
IN_FORCE: Final = "in force"
PROPOSED: Final = "proposed"
_STATES: Final = {IN_FORCE: Tone.GOOD, PROPOSED: Tone.WARN}
_WAS_IN_FORCE: Final = frozenset({IN_FORCE, "replaced"})
_CAREFUL: Final = "careful: "
_NOTE: Final = "note: "


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence about a rule; a weakening one is marked."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """One rule in sentences."""

    name: str
    first: str
    sentences: tuple[Sentence, ...]
    careful: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """What one rule newly admits or refuses."""

    sentence: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of two texts compared: added, removed, same or a place."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One version of the policy, and what it changed."""

    tenant: str
    version: int
    digest: str
    author: str
    when: Moment
    state: Badge
    text: str
    rules: tuple[RuleView, ...]
    problem: str
    compared_with: int | None
    wider: tuple[ChangeView, ...]
    narrower: tuple[ChangeView, ...]
    lines: tuple[DiffLine, ...]
    votes: tuple[str, ...]
    votes_needed: int

    @property
    def votes_missing(self) -> int:
        """How many owners still have to agree."""
        return max(0, self.votes_needed - len(self.votes))


def version(fact: PolicyFact, before: PolicyFact | None, now_ms: int) -> VersionView:
    """Return one version, compared with the one before it."""
    policy, problem = _parsed(fact)
    old = ReleasePolicy(rules=()) if before is None else _parsed(before)[0]
    found = diff(old, policy) if policy is not None and old is not None else PolicyDiff((), ())
    return VersionView(
        tenant=fact.tenant,
        version=fact.version,
        digest=fact.digest,
        author=fact.author,
        when=moment(fact.created_ms, now_ms),
        state=_state(fact),
        text=fact.text,
        rules=() if policy is None else tuple(rule_view(each) for each in policy.rules),
        problem=problem,
        compared_with=None if before is None else before.version,
        wider=tuple(ChangeView(sentence=each.sentence, words=tuple(map(str, each.words))) for each in found.wider),
        narrower=tuple(
            ChangeView(sentence=each.sentence, words=tuple(map(str, each.words))) for each in found.narrower
        ),
        lines=compared("" if before is None else before.text, fact.text),
        votes=fact.votes,
        votes_needed=fact.votes_needed,
    )


def _parsed(fact: PolicyFact) -> tuple[ReleasePolicy | None, str]:
    try:
        return policy_file.parse(fact.text), ""
    except PolicyFileMalformed as problem:
        return None, problem.sentence


def rule_view(rule: ReleaseRule) -> RuleView:
    """Return a rule in sentences."""
    first, *rest = describe(rule)
    sentences = tuple(_sentence(each) for each in rest)
    return RuleView(
        name=rule.name, first=first, sentences=sentences, careful=sum(each.tone is Tone.WARN for each in sentences)
    )


def _sentence(text: str) -> Sentence:
    if text.startswith(_CAREFUL):
        return Sentence(text.removeprefix(_CAREFUL), Tone.WARN)
    if text.startswith(_NOTE):
        return Sentence(text.removeprefix(_NOTE), Tone.NOTE)
    return Sentence(text, Tone.QUIET)


def compared(old: str, new: str) -> tuple[DiffLine, ...]:
    """Return two texts line by line with three lines around each change."""
    kinds = {"+": "added", "-": "removed", "@": "place", " ": "same"}
    found = islice(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3), 2, None)
    lines = [DiffLine(kinds[line[0]], line if line[0] == "@" else line[1:]) for line in found]
    more = len(lines) - MAX_DIFF_LINES
    return tuple(lines[:MAX_DIFF_LINES]) + ((DiffLine("place", f"… {more} more lines"),) if more > 0 else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One version in the list of all."""

    version: int
    digest: str
    author: str
    when: Moment
    state: Badge


def rows(versions: Sequence[PolicyFact], now_ms: int) -> tuple[RowView, ...]:
    """Return the list of versions."""
    return tuple(
        RowView(
            version=each.version, digest=each.digest, author=each.author, when=moment(each.created_ms, now_ms),
            state=_state(each),
        )
        for each in versions
    )  # fmt: skip


def _state(fact: PolicyFact) -> Badge:
    return Badge(fact.state.capitalize(), _STATES.get(fact.state, Tone.QUIET))


def in_force(versions: Sequence[PolicyFact]) -> PolicyFact | None:
    """Return the version that decides now."""
    return next((each for each in versions if each.state == IN_FORCE), None)


def before(versions: Sequence[PolicyFact], fact: PolicyFact) -> PolicyFact | None:
    """Return the version that was in force before this one."""
    earlier = (each for each in versions if each.version < fact.version and each.state in _WAS_IN_FORCE)
    return max(earlier, key=lambda each: each.version, default=None)


def proposals(versions: Sequence[PolicyFact]) -> tuple[PolicyFact, ...]:
    """Return the versions that wait for a second owner."""
    return tuple(each for each in versions if each.state == PROPOSED)


def with_text(fact: PolicyFact, text: str) -> PolicyFact:
    """Return the same version with its text."""
    return replace(fact, text=text)
