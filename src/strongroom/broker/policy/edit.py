"""Add rules to a policy file: all of them or none, and never to a file that is broken.

World: one file, replaced in one step, so that a running broker sees the old policy or the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.watched import decode_policy, read_policy_bytes
from strongroom.broker.release import ReleaseRule
from strongroom.pki import disk

_EMPTY: Final = f"version = {policy_file.VERSION}\n"


def add_rules(path: Path, rules: Sequence[ReleaseRule], *, comments: Sequence[Sequence[str]] = ()) -> tuple[str, ...]:
    """Append what is not there yet and return the names of the rules added; `comments` go above the rules, one by one.

    A name that is taken gets a number. Raises PolicyFileMalformed if the file is broken, or would be.
    """
    added, text = _joined(_text_of(path), rules, comments)
    if added:
        disk.replace_public(path, text.encode("utf-8"))
    return tuple(rule.name for rule in added)


def check_rules(rules: Sequence[ReleaseRule], path: Path | None = None) -> None:
    """Raise PolicyFileMalformed if `rules` contradict each other, or the policy file at `path`."""
    _joined(_text_of(path) if path else _EMPTY, rules, ())


def _text_of(path: Path) -> str:
    return decode_policy(read_policy_bytes(path)) if path.exists() else _EMPTY


def _joined(
    before: str, rules: Sequence[ReleaseRule], comments: Sequence[Sequence[str]]
) -> tuple[list[ReleaseRule], str]:
    """Return the rules that are new and the text with them, read back before it is used."""
    present = policy_file.parse(before).written
    taken = {rule.name for rule in present}
    added: list[ReleaseRule] = []
    text = before
    for number, rule in enumerate(rules):
        if any(_alike(rule, other) for other in present):
            continue
        named = _rename(rule, taken)
        taken.add(named.name)
        added.append(named)
        lines = comments[number] if number < len(comments) else ()
        text += ("" if text.endswith("\n") else "\n") + "\n" + policy_text.render(named, comments=lines)
    if policy_file.parse(text).written != (*present, *added):
        raise PolicyFileMalformed("the policy file cannot take further rules: write them by hand")
    return added, text


def _alike(rule: ReleaseRule, other: ReleaseRule) -> bool:
    """Return whether two rules admit the same and release the same, whatever they are called."""
    return replace(rule, policy=replace(rule.policy, name=other.name)) == other


def _rename(rule: ReleaseRule, taken: set[str]) -> ReleaseRule:
    name, number = rule.name, 2
    while name in taken:
        name, number = f"{rule.name} ({number})", number + 1
    return replace(rule, policy=replace(rule.policy, name=name))
