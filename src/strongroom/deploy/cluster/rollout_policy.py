"""The rules of a new version: those of the old one with another measurement, or another model version. Pure.

Copied, so that nobody has to say again what the old version was given; whatever weakens a rule is copied with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from strongroom.broker.names import Pattern
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.measurement_file import MeasuredBuild
from strongroom.broker.policy.words import RELEASES
from strongroom.broker.release import ReleaseRule
from strongroom.errors import BadInput

SHORT: Final = 8
_RELEASE: Final = re.compile(r"^release[ \t]*=.*$", re.MULTILINE)


class NothingToCopy(BadInput):
    """No rule of the policy in force admits the version that runs, so there is none to copy for the new one."""

    code = "SR-ROLLOUT-NO-RULE"
    fix = "Trust the new version yourself (strongroom policy trust), then run the rollout again."


def measurement_of(rule: ReleaseRule) -> str:
    """Return the one measurement that a rule names, hex; empty where it goes by a signer."""
    found = rule.policy.mrenclave or rule.policy.mrtd
    return found.hex() if found else ""


def measurement_of_build(build: MeasuredBuild) -> str:
    """Return a build's measurement, hex."""
    found = build.mr_enclave or (build.domain or {}).get("mrtd")
    return found.hex() if found else ""


def admits(text: str, measurement: str) -> bool:
    """Return whether a policy has a rule for this very measurement."""
    return any(measurement_of(rule) == measurement for rule in policy_file.parse(text).written)


def with_build(text: str, old: Iterable[str], build: MeasuredBuild) -> tuple[str, tuple[str, ...]]:
    """Return the policy with each rule for an old measurement copied for the new build, and the new rules' names.

    The same text where the new build is admitted already. Raises NothingToCopy, and PolicyFileMalformed for a broken
    policy.
    """
    before = policy_file.parse(text).written
    new = measurement_of_build(build)
    wanted = set(old)
    if any(measurement_of(rule) == new for rule in before):
        return text, ()
    copied = [_for_build(rule, build, new) for rule in before if measurement_of(rule) in wanted]
    if not copied:
        raise NothingToCopy(f"no rule names one of {', '.join(each[:SHORT] for each in sorted(wanted)) or 'none'}")
    return _appended(text, before, copied)


def with_model(text: str, old: Iterable[str], model: str, version: int) -> str:
    """Return the policy in which what gets a version of a model gets one more of it.

    The rules themselves are widened: two rules for one build that release different secrets would be ambiguous to
    clients of Gramine's protocol. Raises NothingToCopy, and PolicyFileMalformed for a broken policy.
    """
    rules, wanted = policy_file.parse(text).written, set(old)
    further = Pattern.parse(f"model/{model}/{version}")
    near = {
        number: rule
        for number, rule in enumerate(rules)
        if measurement_of(rule) in wanted and any(str(each).startswith(f"model/{model}/") for each in rule.patterns)
    }
    if not near:
        raise NothingToCopy(f"no rule releases a version of {model} to what runs")
    if any(further.single is not None and rule.names(further.single) for rule in near.values()):
        return text
    return _released(text, {number: (*rule.patterns, further) for number, rule in near.items()})


def without_model(text: str, model: str, version: int) -> str:
    """Return the policy in which no rule releases this very version by its name."""
    gone = Pattern.parse(f"model/{model}/{version}")
    changed = {
        number: tuple(each for each in rule.patterns if each != gone)
        for number, rule in enumerate(policy_file.parse(text).written)
        if gone in rule.patterns and len(rule.patterns) > 1
    }
    return _released(text, changed)


def without(text: str, names: Iterable[str]) -> str:
    """Return the policy without the rules of these names; all else as its author wrote it."""
    gone, rules = set(names), policy_file.parse(text).written
    head, *blocks = _blocks(text)
    kept = [block for block, rule in zip(blocks, rules, strict=False) if rule.name not in gone]
    return _checked("".join((head, *kept)), [rule for rule in rules if rule.name not in gone])


def _released(text: str, patterns: Mapping[int, tuple[Pattern, ...]]) -> str:
    """Return the policy in which some rules, by their number, release something else."""
    rules = list(policy_file.parse(text).written)
    head, *blocks = _blocks(text)
    for number, wanted in patterns.items():
        rules[number] = replace(rules[number], patterns=wanted)
        line = f"release = {RELEASES.write(wanted)}"
        blocks[number] = _RELEASE.sub(lambda _, line=line: line, blocks[number], count=1)  # type: ignore[misc]  # a default
    return _checked("".join((head, *blocks)), rules)


def _checked(text: str, rules: Sequence[ReleaseRule]) -> str:
    """Return a changed policy if it says exactly what it is to say."""
    if policy_file.parse(text).written != tuple(rules):
        raise NothingToCopy("a program cannot change this policy", fix="Change the rules by hand, then go on.")
    return text


def _for_build(rule: ReleaseRule, build: MeasuredBuild, new: str) -> ReleaseRule:
    policy = replace(rule.policy, name=f"{rule.name.partition(' -> ')[0][:80]} -> {new[:SHORT]}")
    if build.domain:
        named = {word: value for word, value in build.domain.items() if getattr(rule.policy, word, None) is not None}
        return replace(rule, policy=replace(policy, **named))  # type: ignore[arg-type]  # words of a domain, all bytes
    return replace(rule, policy=replace(policy, mrenclave=build.mr_enclave))


def _appended(text: str, before: Sequence[ReleaseRule], rules: Sequence[ReleaseRule]) -> tuple[str, tuple[str, ...]]:
    """Return the text with further rules, read back before it is used, and their names."""
    taken = {rule.name for rule in before}
    added: list[ReleaseRule] = []
    for rule in rules:
        name, number = rule.name, 2
        while name in taken:
            name, number = f"{rule.name} ({number})", number + 1
        taken.add(name)
        added.append(replace(rule, policy=replace(rule.policy, name=name)))
        text += ("" if text.endswith("\n") else "\n") + "\n" + policy_text.render(added[-1])
    return _checked(text, [*before, *added]), tuple(rule.name for rule in added)


def _blocks(text: str) -> list[str]:
    """Return the text in pieces: what stands before the first rule, then each rule to the next one."""
    found, current = [], ""
    for line in text.splitlines(keepends=True):
        if line.strip() == "[[rule]]":
            found.append(current)
            current = ""
        current += line
    return [*found, current]
