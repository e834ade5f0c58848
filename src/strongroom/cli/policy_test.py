"""Show what a policy decides on evidence, rule by rule, with reasons.

EVIDENCE is a recorded file (strongroom broker serve --record-evidence), judged at its recorded time, or a raw quote
with --collateral. Every rule of the policy is asked; --checks lists each check as pass, fail or unknown. Exit status 0
if the policy releases a secret to every piece of evidence, 3 if it refuses one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.option_types import moment
from strongroom.cli.workspace_option import open_workspace, workspace_argument

if TYPE_CHECKING:
    from strongroom.broker.names import SecretName
    from strongroom.broker.release import ReleaseRule
    from strongroom.cli.policy_evidence import Judged

REFUSED = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from strongroom.cli.policy_evidence import root_argument

    parser.add_argument("evidence", nargs="+", type=Path, metavar="EVIDENCE", help="recorded evidence, or a raw quote")
    workspace_argument(parser)
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the policy; with it no workspace is needed")
    parser.add_argument(
        "--collateral", type=Path, metavar="FILE", help="collateral of raw quotes, nine strings in JSON"
    )
    root_argument(parser)
    parser.add_argument("--at", type=moment, metavar="TIME",
                        help="judge at this time, as in 2026-01-31T12:00Z or Unix seconds"
                        " (default: as recorded; raw quotes: now)")  # fmt: skip
    parser.add_argument("--rule", metavar="NAME", help="ask this rule only")
    parser.add_argument("--fresh", action="store_true", help="assume that the evidence answers a nonce of the broker")
    parser.add_argument("--secret", metavar="NAME", help="ask for this secret, as KBS clients do by name")
    parser.add_argument("--checks", action="store_true", help="list every check of every rule")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Judge every piece of evidence; return 3 if one is refused."""
    from strongroom.broker.names import SecretName
    from strongroom.cli.policy_evidence import anchors_of, judge, read_piece
    from strongroom.cli.verdict_text import PHYSICAL_ACCESS

    rules, anchors = rules_and_roots(args)
    wanted = None if args.secret is None else SecretName.parse(args.secret)
    found = []
    trusted = anchors_of(anchors)
    for path in args.evidence:
        piece = read_piece(path, collateral=args.collateral, at=args.at)
        found.append(_object(judge(piece, rules, trusted), rules, fresh=args.fresh, wanted=wanted))
    if args.json:
        sys.stdout.write(json.dumps({"evidence": found}) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for each in found for line in _lines(each, checks=args.checks))
        if any(each["released"] and each["trust_domain"] == "intel" for each in found):
            sys.stdout.write(f"{PHYSICAL_ACCESS}\n")
    return 0 if all(each["released"] for each in found) else REFUSED


def rules_and_roots(args: argparse.Namespace) -> tuple[tuple[ReleaseRule, ...], list[Path]]:
    """Return the rules that are asked, and where the roots to trust lie."""
    from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
    from strongroom.cli.frame import Misuse

    roots = list(args.root)
    if args.policy is None:
        owner = open_workspace(args)
        roots.append(owner.anchors_folder)
    rules = parse_policy(read_policy_bytes(args.policy or owner.policy_path)).rules
    if args.rule is not None:
        rules = tuple(rule for rule in rules if rule.name == args.rule)
        if not rules:
            raise Misuse(f"the policy has no rule {args.rule[:64]!r}", fix="Run strongroom policy lint for the names.")
    return rules, roots


def _object(
    judged: Judged, rules: tuple[ReleaseRule, ...], *, fresh: bool, wanted: SecretName | None
) -> dict[str, Any]:
    """Return the decision on one piece of evidence as a machine reads it."""
    from strongroom.broker.release import Denial, decide

    piece = judged.piece
    result: dict[str, Any] = {"file": str(piece.path), "at": piece.evidence.at.isoformat(), "released": None,
                              "trust_domain": None}  # fmt: skip
    if judged.claims is None:
        problem = judged.refused
        error = {"code": problem.code, "sentence": problem.sentence, "fix": problem.fix} if problem else None
        return {**result, "error": error, "reasons": [], "rules": []}
    result["trust_domain"] = judged.claims.trust_domain.value
    outcome = decide(judged.claims, rules, fresh=fresh, at=piece.evidence.at, wanted=wanted)
    reasons = [reason.to_json_object() for reason in outcome.reasons] if isinstance(outcome, Denial) else []
    result["released"] = None if isinstance(outcome, Denial) else outcome.secret_name
    asked = [rule for rule in rules if wanted is None or rule.names(wanted)]
    judged_rules = [_rule_object(judged, rule, fresh=fresh, wanted=wanted) for rule in asked]
    return {**result, "error": None, "reasons": reasons, "rules": judged_rules}


def _rule_object(judged: Judged, rule: ReleaseRule, *, fresh: bool, wanted: SecretName | None) -> dict[str, Any]:
    from strongroom.attestation import appraise
    from strongroom.broker.release import reasons_of

    assert judged.claims is not None  # noqa: S101  # for the type checker: only sound evidence comes here
    at = judged.piece.evidence.at
    reasons = reasons_of(judged.claims, rule, fresh=fresh, at=at, wanted=wanted)
    checks = appraise(judged.claims, rule.policy, at=at).checks
    return {
        "rule": rule.name, "release": rule.release, "accepted": not reasons,
        "reasons": [reason.to_json_object() for reason in reasons],
        "checks": [check.to_json_object() for check in checks],
    }  # fmt: skip


def _lines(found: dict[str, Any], *, checks: bool) -> Iterator[str]:
    if found["error"]:
        yield f"{found['file']}: REFUSED, the evidence does not hold"
        yield f"  [{found['error']['code']}] {found['error']['sentence']}. {found['error']['fix']}"
        return
    outcome = f"releases {found['released']}" if found["released"] else "REFUSED"
    yield f"{found['file']}: {outcome}, judged at {found['at']}"
    if not found["rules"]:
        yield from (f"  [{reason['code']}] {reason['observed']}. {reason['fix']}" for reason in found["reasons"])
    for rule in found["rules"]:
        yield f"  rule {rule['rule']!r} ({rule['release']}): {'accepted' if rule['accepted'] else 'refused'}"
        for reason in rule["reasons"]:
            yield f"    [{reason['code']}] {reason['word']}: {reason['observed']}; expected {reason['expected']}"
            yield f"      {reason['fix']}"
        if checks:
            for check in rule["checks"]:
                yield f"    {check['outcome']:<7} {check['name']}: {check['observed']}; wanted {check['expected']}"
    ambiguous = not found["released"] and any(rule["accepted"] for rule in found["rules"])
    if ambiguous:
        yield from (f"  [{reason['code']}] {reason['observed']}" for reason in found["reasons"])
