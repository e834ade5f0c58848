"""Find what makes Kubernetes manifests dangerous, before they are applied: these, or anybody's.

Reads YAML or JSON files; `-` is standard input, as in helm template … | strongroom deploy lint -. All files are judged
together: a selector or a NetworkPolicy says nothing without the pods.

Status 0: no error, though perhaps warnings. Status 2: at least one error. With --production warnings count as errors;
--accept drops a rule by name, --rules lists them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.frame import Misuse
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.deploy.lint import Finding


class ObjectsHaveErrors(BadInput):
    """Kubernetes objects break rules that keep them from production; the findings are printed."""

    code = "SR-DEPLOY-LINT"
    fix = "Do what the findings say; --accept RULE drops a rule that you have thought about."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("files", metavar="FILE", nargs="*", help="manifests; - is standard input")
    parser.add_argument("--production", action="store_true", help="warnings count")
    parser.add_argument("--accept", metavar="RULE", action="append", default=[], type=_rule_id,
                        help="drop the findings of one rule, as K27 (repeatable)")  # fmt: skip
    parser.add_argument("--rules", action="store_true", help="list the rules and do nothing else")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Lint and print; raise ObjectsHaveErrors if there is an error."""
    from strongroom.deploy import lint

    if args.rules:
        sys.stdout.writelines(f"{rule.id}  {rule.level:<7}  {rule.title}\n" for rule in lint.RULES)
        return 0
    if not args.files:
        raise Misuse("there is nothing to lint", fix="Name manifests, or - for standard input.")
    objects = [each for name in args.files for each in _read(name)]
    found = [each for each in lint.lint(objects, production=args.production) if each.rule.id not in args.accept]
    errors = sum(each.is_error for each in found)
    if args.json:
        result = {"objects": len(objects), "errors": errors, "warnings": len(found) - errors,
                  "findings": [each.to_json_object() for each in found],
                  "accepted": sorted(set(args.accept))}  # fmt: skip
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.writelines(_sentence(each) for each in found)
        what = f"{_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}"
        sys.stdout.write(f"{_count(len(objects), 'object')}: {what}\n")
    if errors:
        raise ObjectsHaveErrors(f"the objects have {_count(errors, 'error')}")
    return 0


def _read(name: str) -> tuple[dict[str, Any], ...]:
    from strongroom.deploy.yaml_reading import MAX_YAML_BYTES, objects_of
    from strongroom.pki import disk

    if name == "-":
        return objects_of(sys.stdin.buffer.read(MAX_YAML_BYTES + 1), where="standard input")
    return objects_of(disk.read_bounded(Path(name), limit=MAX_YAML_BYTES), where=name)


def _sentence(finding: Finding) -> str:
    head = f"{finding.object}: {finding.rule.level} {finding.rule.id} {finding.place}"
    return f"{_printable(f'{head}: {finding.why}')}\n  what to do: {_printable(finding.fix)}\n"


def _printable(line: str) -> str:
    """Return a line that moves no cursor: names in it are whatever somebody's manifest says."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _rule_id(text: str) -> str:
    from strongroom.deploy.lint import RULES

    if text not in {rule.id for rule in RULES}:
        raise argparse.ArgumentTypeError(f"there is no rule {text!r}")
    return text
