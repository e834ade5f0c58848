"""policy.toml: who gets which secret, read strictly.

Pure: text in, a `ReleasePolicy` out. Unknown words, wrong types, wildcards, all-zero measurements and rules that
contradict each other are refused with their place, never guessed (threats ID-02, ID-04, TCB-05): a file that means
something else than its owner thinks gives keys away.
"""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from typing import Any, Final, NoReturn, TypeVar

from strongroom.attestation import Policy, PolicyUnusable, TcbStatus, TrustDomain
from strongroom.broker.release import ReleaseRule, SignatureCheck
from strongroom.errors import BadInput

VERSION: Final = 1
MAX_POLICY_BYTES: Final = 1024 * 1024
MAX_RULES: Final = 1000
MAX_LIST: Final = 256
MAX_U16: Final = 0xFFFF
MAX_AGE_DAYS: Final = 366
DEFAULT_AGE_DAYS: Final = 7
_WORDS: Final = frozenset(
    {"name", "release", "mrenclave", "mrsigner", "isvprodid", "min_isvsvn", "max_isvsvn", "accepted_tcb_status",
     "accepted_advisory_ids", "rejected_advisory_ids", "allow_debug", "trust_domains", "max_collateral_age_days",
     "require_fresh"}
)  # fmt: skip
_HEX32: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\"\\\u2028\u2029\ud800-\udfff]{1,120}")
_ADVISORY: Final = re.compile(r"[A-Z]+(-[A-Z0-9]+){1,4}", re.ASCII)
_PART: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_SECRET: Final = re.compile(rf"model/{_PART}/[1-9][0-9]{{0,18}}|secret/{_PART}", re.ASCII)
_T = TypeVar("_T")


class PolicyFileMalformed(BadInput):
    """A policy file says something that cannot be enforced exactly as written."""

    code = "SR-POLICY-FILE"
    fix = "Correct the file at the place named; strongroom policy lint checks it and says what it admits."


@dataclass(frozen=True, slots=True)
class ReleasePolicy:
    """Every rule of one policy file, in its order; without rules nothing is released."""

    rules: tuple[ReleaseRule, ...]


def parse(text: str) -> ReleasePolicy:
    """Return what a policy file says. Raises PolicyFileMalformed, with the place, and nothing else."""
    document = _document(text)
    for word in document:
        if word not in ("version", "rule"):
            raise PolicyFileMalformed(f"policy file: unknown word {_show(word)}")
    version = document.get("version")
    if version != VERSION or type(version) is not int:
        raise PolicyFileMalformed(f"policy file: version is {_show(version)}, only {VERSION} is understood")
    tables = document.get("rule", [])
    if not isinstance(tables, list) or len(tables) > MAX_RULES:
        raise PolicyFileMalformed(f"policy file: rule has to be at most {MAX_RULES} tables, each headed [[rule]]")
    rules = tuple(_rule(table, number) for number, table in enumerate(tables, 1))
    _refuse_repeated_names(rules)
    _refuse_ambiguity(rules)
    return ReleasePolicy(rules)


def _document(text: str) -> dict[str, Any]:
    if len(text) > MAX_POLICY_BYTES:
        raise PolicyFileMalformed(f"the policy file is longer than {MAX_POLICY_BYTES} characters")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise PolicyFileMalformed("the policy file is nested too deeply") from None
    except ValueError as problem:  # TOMLDecodeError, and numbers of thousands of digits
        raise PolicyFileMalformed(f"the policy file is not TOML: {str(problem)[:200]}") from None


def _rule(table: object, number: int) -> ReleaseRule:
    if not isinstance(table, dict):
        raise PolicyFileMalformed(f"rule {number}: has to be a table, headed [[rule]]")
    words = _Words(table, number)
    mrenclave, signature = words.measurement("mrenclave"), _signature(words)
    try:
        policy = Policy(
            name=words.name(),
            mrenclave=mrenclave,
            mrsigner=None if mrenclave else signature.mrsigner,
            isvprodid=None if mrenclave else signature.isvprodid,
            min_isvsvn=None if mrenclave else signature.min_isvsvn,
            accepted_tcb_status=words.chosen("accepted_tcb_status", TcbStatus, (TcbStatus.UP_TO_DATE,)),
            accepted_advisory_ids=words.advisories("accepted_advisory_ids"),
            rejected_advisory_ids=words.advisories("rejected_advisory_ids"),
            allow_debug=words.take("allow_debug", bool, default=False),
            trust_domains=words.chosen("trust_domains", TrustDomain, (TrustDomain.INTEL,)),
            max_collateral_age=timedelta(days=words.number("max_collateral_age_days", MAX_AGE_DAYS, DEFAULT_AGE_DAYS)),
        )
    except PolicyUnusable as problem:
        words.refuse("", problem.sentence)
    return ReleaseRule(
        policy=policy, release=words.secret(), require_fresh=words.take("require_fresh", bool, default=False),
        signature=signature if mrenclave else SignatureCheck(max_isvsvn=signature.max_isvsvn),
    )  # fmt: skip


def _signature(words: _Words) -> SignatureCheck:
    lowest, highest = words.u16("min_isvsvn"), words.u16("max_isvsvn")
    if lowest is not None and highest is not None and highest < lowest:
        words.refuse("max_isvsvn", f"is {highest}, below min_isvsvn")
    return SignatureCheck(
        mrsigner=words.measurement("mrsigner"), isvprodid=words.u16("isvprodid"), min_isvsvn=lowest, max_isvsvn=highest
    )


class _Words:
    """The words of one rule; each is taken with its type, and a refusal names the rule and the word."""

    def __init__(self, table: dict[str, Any], number: int) -> None:
        self._table = table
        self._number = number
        for word in table:
            if word not in _WORDS:
                self.refuse(word, "is an unknown word")

    def refuse(self, word: str, what: str) -> NoReturn:
        name = self._table.get("name")
        title = f" ({_show(name)})" if isinstance(name, str) else ""
        place = f" {_show(word)}" if word else ""
        raise PolicyFileMalformed(f"rule {self._number}{title}:{place} {what}")

    def take(self, word: str, kind: type[_T], default: _T | None = None) -> _T:
        value = self._table.get(word, default)
        if value is None:
            self.refuse(word, "is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.refuse(word, f"is {_show(value)}; it takes {_KINDS[kind]}")
        return value

    def name(self) -> str:
        name = self.take("name", str)
        if not _NAME.fullmatch(name):
            self.refuse("name", "has to be 1 to 120 printable characters without quotes and backslashes")
        return name

    def secret(self) -> str:
        release = self.take("release", str)
        if not _SECRET.fullmatch(release):
            self.refuse("release", f"is {_show(release)}; it takes model/NAME/VERSION or secret/NAME")
        return release

    def measurement(self, word: str) -> bytes | None:
        if word not in self._table:
            return None
        text = self.take(word, str)
        if not _HEX32.fullmatch(text):
            self.refuse(word, f"is {_show(text)}; it takes exactly 64 hex digits, and no wildcard")
        if not any(bytes.fromhex(text)):
            self.refuse(word, "is all zero, which is no build's measurement")
        return bytes.fromhex(text)

    def number(self, word: str, highest: int, default: int | None = None) -> int:
        value = self.take(word, int, default)
        if not 0 <= value <= highest:
            self.refuse(word, f"is {_show(value)}; it takes a number from 0 to {highest}")
        return value

    def u16(self, word: str) -> int | None:
        return self.number(word, MAX_U16) if word in self._table else None

    def texts(self, word: str, default: Sequence[str]) -> list[str]:
        values = self.take(word, list, list(default))
        if len(values) > MAX_LIST or not all(isinstance(value, str) for value in values):
            self.refuse(word, f"takes at most {MAX_LIST} texts")
        if len(set(values)) != len(values):
            self.refuse(word, "names something twice")
        return values

    def chosen(self, word: str, kind: type[_E], default: Sequence[_E]) -> frozenset[_E]:
        values = self.texts(word, default)
        known = {member.value: member for member in kind}
        for value in values:
            if value not in known:
                self.refuse(word, f"holds {_show(value)}; it takes {', '.join(known)}")
        if not values:
            self.refuse(word, "is empty, so nothing could fulfil it")
        return frozenset(known[value] for value in values)

    def advisories(self, word: str) -> frozenset[str]:
        values = self.texts(word, ())
        for value in values:
            if not _ADVISORY.fullmatch(value):
                self.refuse(word, f"holds {_show(value)}, which is no advisory such as INTEL-SA-00615")
        return frozenset(values)


_E = TypeVar("_E", TcbStatus, TrustDomain)
_KINDS: Final = {str: "a text", int: "a whole number", bool: "true or false", list: "a list of texts"}


def _show(value: object) -> str:
    """Return a value as an error may show it: one line, printable, short."""
    return ascii(value)[:100]


def _refuse_repeated_names(rules: Sequence[ReleaseRule]) -> None:
    seen: set[str] = set()
    for number, rule in enumerate(rules, 1):
        if rule.name in seen:
            raise PolicyFileMalformed(f"rule {number}: the name {_show(rule.name)} is taken by an earlier rule")
        seen.add(rule.name)


def _refuse_ambiguity(rules: Sequence[ReleaseRule]) -> None:
    """Refuse rules that give one identity different secrets: Gramine's protocol cannot ask by name."""
    by_identity: defaultdict[object, list[ReleaseRule]] = defaultdict(list)
    for rule in rules:
        by_identity[rule.policy.mrenclave or (rule.policy.mrsigner, rule.policy.isvprodid)].append(rule)
    for alike in by_identity.values():
        for first, second in combinations(alike, 2):
            if first.release != second.release and _overlap(first, second):
                raise PolicyFileMalformed(
                    f"rules {_show(first.name)} and {_show(second.name)} give the same identity different secrets:"
                    f" {first.release} and {second.release}"
                )


def _overlap(first: ReleaseRule, second: ReleaseRule) -> bool:
    """Return whether one enclave could fulfil both rules, which name the same measurement or signer."""
    if not first.policy.trust_domains & second.policy.trust_domains:
        return False
    for word in ("mrsigner", "isvprodid"):
        values = {getattr(rule.signature, word) for rule in (first, second)} - {None}
        if len(values) > 1:
            return False
    ranges = [_svn_range(rule) for rule in (first, second)]
    return max(low for low, _ in ranges) <= min(high for _, high in ranges)


def _svn_range(rule: ReleaseRule) -> tuple[int, int]:
    low = rule.policy.min_isvsvn if rule.policy.mrenclave is None else rule.signature.min_isvsvn
    high = rule.signature.max_isvsvn
    return low or 0, MAX_U16 if high is None else high
