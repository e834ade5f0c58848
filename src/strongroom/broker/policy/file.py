"""policy.toml: who gets which secret, read strictly.

Pure: text in, a `ReleasePolicy` out. Unknown words, wrong types, wildcards, all-zero measurements and rules that
contradict each other are refused with their place, never guessed (threats ID-02, ID-04, TCB-05): a file that means
something else than its owner thinks gives keys away. The words are those of `policy_words`.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from types import MappingProxyType
from typing import Any, Final, NoReturn

from strongroom.attestation import EnrolledPlatform, KssFields, Policy, PolicyUnusable
from strongroom.attestation.policy import production_problems
from strongroom.attestation.policy.contradictions import DENY_LISTS
from strongroom.broker.names import Pattern, SecretKind
from strongroom.broker.policy.kinds import Kind, Switch, Unfit, Value, show
from strongroom.broker.policy.overlap import for_gramine, may_overlap
from strongroom.broker.policy.words import (
    ALL_RULE_WORDS,
    BY_NAME,
    FILE_WORDS,
    IDENTITY_KINDS,
    LIMIT_WORDS,
    RELEASES,
    WORDS,
)
from strongroom.broker.release import Limits, ReleaseRule, SignatureCheck
from strongroom.errors import BadInput

VERSION: Final = 1
MAX_POLICY_BYTES: Final = 1024 * 1024
MAX_RULES: Final = 1000
_NO_KSS: Final = {"config_id": bytes(64), "config_svn": 0, "isv_ext_prod_id": bytes(16), "isv_family_id": bytes(16)}
_SIGNATURE_WORDS: Final = ("mrsigner", "isvprodid", "min_isvsvn", "max_isvsvn")
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\"\\\u2028\u2029\ud800-\udfff]{1,120}")


class PolicyFileMalformed(BadInput):
    """A policy file says something that cannot be enforced exactly as written."""

    code = "SR-POLICY-FILE"
    fix = "Correct the file at the place named; strongroom policy lint checks it and says what it admits."


class Profile(StrEnum):
    """What the rules of a file may admit at all."""

    DEVELOPMENT = "development"  # debug and simulated platforms where a rule names them; as without a profile
    PRODUCTION = "production"  # neither, and Intel's three platform flags have to be clear unless allowed
    HARDENED = "hardened"  # as production, and every rule names its platforms


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """Every rule of one policy file, in its order; without rules nothing is released.

    `rules` are in force: what the file says for all of them is in each. `written` are the rules as they stand.
    """

    rules: tuple[ReleaseRule, ...]
    profile: Profile = Profile.DEVELOPMENT
    platforms: tuple[EnrolledPlatform, ...] | None = None
    denied: Mapping[str, frozenset[Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )  # the file's deny-lists, by word
    written: tuple[ReleaseRule, ...] = ()


def parse(text: str) -> ReleasePolicy:
    """Return what a policy file says. Raises PolicyFileMalformed, with the place, and nothing else."""
    document = _document(text)
    for word in document:
        if word not in FILE_WORDS:
            raise PolicyFileMalformed(f"policy file: unknown word {show(word)}")
    version = document.get("version")
    if version != VERSION or type(version) is not int:
        raise PolicyFileMalformed(f"policy file: version is {show(version)}, only {VERSION} is understood")
    profile = _profile(document)
    tables = document.get("rule", [])
    if not isinstance(tables, list) or len(tables) > MAX_RULES:
        raise PolicyFileMalformed(f"policy file: rule has to be at most {MAX_RULES} tables, each headed [[rule]]")
    rules = tuple(_rule(table, number, profile) for number, table in enumerate(tables, 1))
    _refuse_repeated_names(rules)
    _refuse_ambiguity(rules)
    found = ReleasePolicy(
        rules=rules, profile=profile, platforms=_file_wide(document, "platforms"),
        denied=MappingProxyType({word: _file_wide(document, word) or frozenset() for word in DENY_LISTS}),
        written=rules,
    )  # fmt: skip
    found = replace(found, rules=tuple(_in_force(rule, found) for rule in rules))
    _refuse_for_profile(found)
    return found


def _document(text: str) -> dict[str, Any]:
    if len(text) > MAX_POLICY_BYTES:
        raise PolicyFileMalformed(f"the policy file is longer than {MAX_POLICY_BYTES} characters")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise PolicyFileMalformed("the policy file is nested too deeply") from None
    except ValueError as problem:  # TOMLDecodeError, and numbers of thousands of digits
        raise PolicyFileMalformed(f"the policy file is not TOML: {str(problem)[:200]}") from None


def _profile(document: dict[str, Any]) -> Profile:
    word = document.get("profile", Profile.DEVELOPMENT.value)
    if word not in list(Profile):
        raise PolicyFileMalformed(f"policy file: profile is {show(word)}; it takes {', '.join(Profile)}")
    return Profile(word)


def _file_wide(document: dict[str, Any], word: str) -> Value:
    if word not in document:
        return None
    try:
        return BY_NAME[word].kind.read(document[word])
    except Unfit as problem:
        raise PolicyFileMalformed(f"policy file: {show(word)} {problem}") from None


def _in_force(rule: ReleaseRule, file: ReleasePolicy) -> ReleaseRule:
    """Return a rule with what its file says for all: deny-lists add up, its own platforms go first."""
    own = rule.policy
    try:
        policy = replace(
            own,
            platforms=file.platforms if own.platforms is None else own.platforms,
            **{word: getattr(own, word) | also for word, also in file.denied.items()},
        )
    except PolicyUnusable as problem:
        raise PolicyFileMalformed(f"policy file: {problem.sentence}") from None
    return replace(rule, policy=policy)


def _refuse_for_profile(file: ReleasePolicy) -> None:
    if file.profile is Profile.DEVELOPMENT:
        return
    for number, rule in enumerate(file.rules, 1):
        for sentence in production_problems(rule.policy, hardened=file.profile is Profile.HARDENED):
            raise PolicyFileMalformed(f"rule {number} ({show(rule.name)}): {sentence}")


def _rule(table: object, number: int, profile: Profile) -> ReleaseRule:
    if not isinstance(table, dict):
        raise PolicyFileMalformed(f"rule {number}: has to be a table, headed [[rule]]")
    words = _Words(table, number)
    mrenclave, mrtd, signature = words.identity("mrenclave"), words.identity("mrtd"), _signature(words)
    by_signer = mrenclave is None and mrtd is None
    production = profile is not Profile.DEVELOPMENT
    try:
        policy = Policy(
            name=words.name(),
            mrenclave=mrenclave,
            mrtd=mrtd,
            mrsigner=signature.mrsigner if by_signer else None,
            isvprodid=signature.isvprodid if by_signer else None,
            min_isvsvn=signature.min_isvsvn if by_signer else None,
            kss=words.kss(),
            **{word.field: words.value(word.name, word.kind, word.default_in(production=production))
               for word in WORDS if word.field != "kss"},
        )  # fmt: skip
    except PolicyUnusable as problem:
        words.refuse("", problem.sentence)
    patterns = words.patterns()
    return ReleaseRule(
        policy=policy, patterns=patterns, limits=words.limits(patterns),
        require_fresh=words.value("require_fresh", Switch(), False),
        signature=SignatureCheck(max_isvsvn=signature.max_isvsvn) if by_signer else signature,
    )  # fmt: skip


def _signature(words: _Words) -> SignatureCheck:
    values = {word: words.identity(word) for word in _SIGNATURE_WORDS}
    lowest, highest = values["min_isvsvn"], values["max_isvsvn"]
    if lowest is not None and highest is not None and highest < lowest:
        words.refuse("max_isvsvn", f"is {highest}, below min_isvsvn")
    if words.holds("mrtd") and not words.holds("mrenclave"):
        for word, value in values.items():
            if value is not None:
                words.refuse(word, "is for an SGX enclave, and the rule names an mrtd")
    return SignatureCheck(**values)


class _Words:
    """The words of one rule; each is taken with its type, and a refusal names the rule and the word."""

    def __init__(self, table: dict[str, Any], number: int) -> None:
        self._table = table
        self._number = number
        for word in table:
            if word not in ALL_RULE_WORDS:
                self.refuse(word, "is an unknown word")

    def refuse(self, word: str, what: str) -> NoReturn:
        name = self._table.get("name")
        title = f" ({show(name)})" if isinstance(name, str) else ""
        place = f" {show(word)}" if word else ""
        raise PolicyFileMalformed(f"rule {self._number}{title}:{place} {what}")

    def holds(self, word: str) -> bool:
        return word in self._table

    def value(self, word: str, kind: Kind, default: Value) -> Value:
        """Return what the word says, or its default."""
        if word not in self._table:
            return default
        try:
            return kind.read(self._table[word])
        except Unfit as problem:
            self.refuse(word, str(problem))

    def identity(self, word: str) -> Value:
        return self.value(word, IDENTITY_KINDS[word], None)

    def kss(self) -> KssFields | None:
        """Return the four fields that MRENCLAVE does not cover if one of them is named; the others are then zero."""
        if not any(word in self._table for word in _NO_KSS):
            return None
        return KssFields(**{word: self.value(word, BY_NAME[word].kind, zero) for word, zero in _NO_KSS.items()})

    def name(self) -> str:
        name = self._text("name")
        if not _NAME.fullmatch(name):
            self.refuse("name", "has to be 1 to 120 printable characters without quotes and backslashes")
        return name

    def patterns(self) -> tuple[Pattern, ...]:
        """Return what the rule releases."""
        if "release" not in self._table:
            self.refuse("release", "is missing")
        found: tuple[Pattern, ...] = self.value("release", RELEASES, ())
        return found

    def limits(self, patterns: Sequence[Pattern]) -> Limits:
        """Return how much of the rule may be used; a least version that leaves nothing of a pattern is refused."""
        found = Limits(**{word.field: self.value(word.name, word.kind, word.default) for word in LIMIT_WORDS})
        least = found.min_model_version
        if least is None:
            return found
        if all(pattern.kind is not SecretKind.MODEL for pattern in patterns):
            self.refuse("min_model_version", "is for models, and the rule releases none")
        for pattern in patterns:
            if pattern.high is not None and pattern.high < least:
                self.refuse("min_model_version", f"is {least}, which leaves nothing of {pattern}")
        return found

    def _text(self, word: str) -> str:
        value = self._table.get(word)
        if value is None:
            self.refuse(word, "is missing")
        if not isinstance(value, str):
            self.refuse(word, f"is {show(value)}; it takes a text")
        return value


def _refuse_repeated_names(rules: Sequence[ReleaseRule]) -> None:
    seen: set[str] = set()
    for number, rule in enumerate(rules, 1):
        if rule.name in seen:
            raise PolicyFileMalformed(f"rule {number}: the name {show(rule.name)} is taken by an earlier rule")
        seen.add(rule.name)


def _refuse_ambiguity(rules: Iterable[ReleaseRule]) -> None:
    """Refuse rules between which Gramine's protocol, which cannot ask by name, would have to choose."""
    by_identity: defaultdict[object, list[ReleaseRule]] = defaultdict(list)
    for rule in filter(for_gramine, rules):
        policy = rule.policy
        by_identity[policy.mrtd or policy.mrenclave or (policy.mrsigner, policy.isvprodid)].append(rule)
    for alike in by_identity.values():
        for first, second in combinations(alike, 2):
            if first.single != second.single and may_overlap(first, second):
                raise PolicyFileMalformed(
                    f"rules {show(first.name)} and {show(second.name)} give the same identity different secrets:"
                    f" {first.release} and {second.release}",
                    fix="Give one build one secret, or all of them in one rule's release, for clients that ask by name"
                    " (KBS).",
                )
