"""Print the whole effective policy: every word of every rule, with the defaults spelled out.

What the file says for all rules (platforms, deny-lists) is shown in each. A word that is a default is marked, a word
that is not compared is a comment; the text is a policy file again. With --json, values and marks for machines.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.policy.file import ReleasePolicy
    from strongroom.broker.release import ReleaseRule


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path, help="the policy (default: the workspace's)")
    workspace_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read and print."""
    from strongroom.broker.policy.watched import parse_policy, read_policy_bytes

    path = args.file or open_workspace(args).policy_path
    policy = parse_policy(read_policy_bytes(path))
    if args.json:
        rules = [_rule_object(rule, policy) for rule in policy.rules]
        sys.stdout.write(json.dumps({"policy": str(path), "profile": policy.profile.value, "rules": rules}) + "\n")
    else:
        sys.stdout.write("\n".join(_text(path, policy)) + "\n")
    return 0


def _text(path: Path, policy: ReleasePolicy) -> Iterator[str]:
    from strongroom.broker.policy.words import BY_NAME, LIMIT_WORDS

    unnamed = {word.name: word.unnamed for word in (*BY_NAME.values(), *LIMIT_WORDS)}
    yield f"# {path}: every word in force"
    yield "version = 1"
    yield f'profile = "{policy.profile.value}"'
    for rule in policy.rules:
        yield ""
        yield "[[rule]]"
        for word, value, default in effective(rule, policy):
            if value is None:
                yield f"# {word}: {unnamed.get(word, 'not compared')}"
            else:
                yield f"{word} = {value}" + ("  # default" if default else "")


def _rule_object(rule: ReleaseRule, policy: ReleasePolicy) -> dict[str, object]:
    words = {
        word: {"value": None if value is None else _plain(value), "default": default}
        for word, value, default in effective(rule, policy)
    }
    return {"name": rule.name, "release": rule.release, "words": words}


def effective(rule: ReleaseRule, policy: ReleasePolicy) -> Iterator[tuple[str, str | None, bool]]:
    """Yield every word with its value as TOML (None: not compared), and whether that is the default."""
    from strongroom.broker.policy.file import Profile
    from strongroom.broker.policy.overlap import signer_value
    from strongroom.broker.policy.words import IDENTITY_KINDS, LIMIT_WORDS, RELEASES, WORDS, value_of

    yield "name", f'"{rule.name}"', False
    yield "release", RELEASES.write(rule.patterns), False
    for word, kind in IDENTITY_KINDS.items():
        if word == "max_isvsvn":
            value = rule.signature.max_isvsvn
        else:
            value = getattr(rule.policy, word) if word in {"mrenclave", "mrtd"} else signer_value(rule, word)
        yield word, None if value is None else kind.write(value), value is None
    production = policy.profile is not Profile.DEVELOPMENT
    foreign = _foreign_words(rule)
    for entry in WORDS:
        if entry.name in foreign:
            continue
        value = value_of(entry, rule.policy)
        written = None if value is None else entry.kind.write(value)
        yield entry.name, written, value == entry.default_in(production=production)
    yield "require_fresh", "true" if rule.require_fresh else "false", not rule.require_fresh
    for entry in LIMIT_WORDS:
        value = value_of(entry, rule.limits)
        yield entry.name, None if value is None else entry.kind.write(value), value == entry.default


def _foreign_words(rule: ReleaseRule) -> frozenset[str]:
    """Return the words that have no meaning for this rule's kind of TEE."""
    from strongroom.attestation import Tee
    from strongroom.broker.policy.words import DOMAIN_WORDS, ENCLAVE_WORDS

    words = DOMAIN_WORDS if rule.policy.tee is Tee.SGX else ENCLAVE_WORDS
    return frozenset(word.name for word in words)


def _plain(toml: str) -> object:
    """Return a TOML value as JSON has it: dates become texts."""
    import tomllib

    return json.loads(json.dumps(tomllib.loads(f"word = {toml}")["word"], default=_text_of_date))


def _text_of_date(value: date) -> str:
    return value.isoformat()
