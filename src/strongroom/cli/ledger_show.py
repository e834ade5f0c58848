"""Print the broker's decisions with their reasons: rule, observed, expected, fix.

The id of a line is the one in the broker's log. Platforms are shown by a keyed hash, secrets by their names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from strongroom.cli.workspace_option import open_workspace, positive, workspace_argument

ENCLAVE = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn")
TRUST_DOMAIN = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    workspace_argument(parser)
    parser.add_argument("--file", type=Path, metavar="FILE", help="the ledger (default: the workspace's)")
    parser.add_argument("--last", type=positive, metavar="N", help="print the last N entries only")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, as it is in the ledger")


def run(args: argparse.Namespace) -> int:
    """Print the entries."""
    from strongroom.broker.ledger import file as ledger

    path = args.file or open_workspace(args).ledger_path
    if not path.exists():
        sys.stderr.write(f"{path} is not there yet: the broker made no decision\n")
        return 0
    found: Iterable[dict[str, Any]] = ledger.entries(path)
    for entry in deque(found, args.last) if args.last else found:
        sys.stdout.write(json.dumps(entry) + "\n" if args.json else "\n".join(lines_of(entry)) + "\n")
    return 0


def lines_of(entry: dict[str, Any]) -> Iterator[str]:
    """Yield an entry as a person reads it. Entries are shown as they are, even if somebody changed them."""
    head = f"{entry['seq']:>6}  {_word(entry['time'])}"
    if entry["kind"] != "decision":
        details = {name: value for name, value in entry.items() if name not in {"seq", "time", "prev", "kind", "salt"}}
        yield f"{head}  {_word(entry['kind'])}  {json.dumps(details)}"
        return
    what = f" {_word(entry.get('secret'))} by rule {json.dumps(entry.get('rule'))}" if entry.get("secret") else ""
    decision, peer, case = (_word(entry.get(name)) for name in ("decision", "peer", "id"))
    yield f"{head}  {decision.upper()}{what} to {peer} [{case}]"
    evidence = entry.get("evidence")
    if isinstance(evidence, dict):
        program = ENCLAVE if "mr_enclave" in evidence or "mr_td" not in evidence else TRUST_DOMAIN
        extra = [name for name in ("source", "in_grace") if name in evidence]
        names = ("trust_domain", "status", *program, "debug", "platform", *extra)
        yield "        " + ", ".join(f"{name} {_word(evidence.get(name))}" for name in names)
    for reason in entry.get("reasons") or ():
        if isinstance(reason, dict):
            yield from _reason_lines(reason)


def _reason_lines(reason: dict[str, Any]) -> Iterator[str]:
    place = f"rule {json.dumps(reason.get('rule'))}, {_word(reason.get('word'))}" if reason.get("rule") else "evidence"
    yield f"        {_word(reason.get('code'))}: {place}"
    for name in ("observed", "expected", "fix"):
        yield f"          {name:<9} {_word(reason.get(name))}"


def _word(value: object) -> str:
    """Return a value on one line, without characters that would move the cursor of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(value))
