"""Say in sentences what a new policy admits or refuses that the old one did not.

Rules are compared by meaning, word by word: names, order and spelling do not count. With --evidence a folder of
recorded evidence (strongroom broker serve --record-evidence) is judged under both. Exit status 5 if the new policy
admits more, by its rules or by the evidence, so that a pipeline can stop it; 0 if it admits the same or less.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strongroom.broker.policy.diff import Finding, PolicyDiff
    from strongroom.broker.policy.file import ReleasePolicy


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from strongroom.cli.policy_evidence import root_argument

    parser.add_argument("old", type=Path, metavar="OLD", help="the policy in force")
    parser.add_argument("new", type=Path, metavar="NEW", help="the policy that is to replace it")
    parser.add_argument("--evidence", type=Path, metavar="FOLDER", help="recorded evidence to judge under both")
    root_argument(parser)
    parser.add_argument("--fresh", action="store_true", help="assume that the evidence answers a nonce of the broker")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Compare, replay, print; return 5 if more is admitted."""
    from strongroom.broker.policy.diff import diff
    from strongroom.broker.policy.watched import parse_policy, read_policy_bytes
    from strongroom.cli.frame import WIDER

    old, new = (parse_policy(read_policy_bytes(path)) for path in (args.old, args.new))
    found = diff(old, new)
    replayed = list(replay(args, old, new)) if args.evidence else []
    wider = bool(found.wider) or any(each["change"] == "admitted" for each in replayed)
    if args.json:
        result = {
            "wider": wider,
            "admits": [each.to_json_object() for each in found.wider],
            "refuses": [each.to_json_object() for each in found.narrower],
            "evidence": replayed,
        }
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write("\n".join(_text(found, replayed, args.evidence)) + "\n")
    return WIDER if wider else 0


def replay(args: argparse.Namespace, old: ReleasePolicy, new: ReleasePolicy) -> Iterator[dict[str, Any]]:
    """Judge every piece of a folder under both policies."""
    from strongroom.cli.policy_evidence import anchors_of, beyond, judge, read_folder, released

    anchors = anchors_of(args.root)
    for piece in read_folder(args.evidence):
        judged = [judge(piece, policy.rules, anchors) for policy in (old, new)]
        before, after = (
            released(found, policy.rules, fresh=args.fresh) for found, policy in zip(judged, (old, new), strict=True)
        )
        same = "released" if after else "refused"
        change = "admitted" if beyond(before, after) else "no longer" if beyond(after, before) else same
        problem = judged[1].refused and judged[1].refused.code
        shown = {"before": ", ".join(map(str, before)) or None, "after": ", ".join(map(str, after)) or None}
        yield {"file": piece.path.name, **shown, "change": change, "error": problem}


def _text(found: PolicyDiff, replayed: Sequence[dict[str, Any]], folder: Path | None) -> Iterator[str]:
    yield from _findings("newly admitted", found.wider, {"wider", "other"})
    yield from _findings("newly refused", found.narrower, {"narrower", "other"})
    if not found.wider and not found.narrower:
        yield "both policies admit the same"
    if folder is None:
        return
    for each in replayed:
        if each["change"] == "admitted":
            yield f"{each['file']}: newly released {each['after']} (before: {each['before'] or 'nothing'})"
        elif each["change"] == "no longer":
            yield f"{each['file']}: no longer released {each['before']}"
    count = sum(each["change"] in {"released", "refused"} for each in replayed)
    pieces = "1 piece" if len(replayed) == 1 else f"{len(replayed)} pieces"
    yield f"{folder}: {pieces} of evidence judged under both, {count} as before"
    yield from _unsound(replayed)


def _unsound(replayed: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say which evidence says nothing about the policies, since it does not hold under the roots named."""
    problems = [each["error"] for each in replayed if each["error"]]
    for code in sorted(set(problems)):
        yield f"note: {problems.count(code)} of them do not hold at all [{code}]; --root names further roots to trust"


def _findings(title: str, findings: Sequence[Finding], changes: set[str]) -> Iterator[str]:
    if findings:
        yield f"{title}:"
    for finding in findings:
        yield f"  {finding.sentence}"
        yield from (f"    {word}" for word in finding.words if word.change is not None and word.change.value in changes)
