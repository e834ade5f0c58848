"""Print the broker's decisions with their reasons: rule, observed, expected, fix.

The id of a line is the one in the broker's log. Platforms are shown by a keyed hash, secrets by their names. What is
shown is not judged here: strongroom ledger verify does that.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from strongroom.cli.ledger_place import Place, open_place, place_arguments
from strongroom.cli.workspace_option import positive

ENCLAVE = ("mr_enclave", "mr_signer", "isv_prod_id", "isv_svn")
TRUST_DOMAIN = ("mr_td", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_config_id")
FOLLOW_S: Final = 1.0
MAX_AGE_CHARS: Final = 8
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_OWN: Final = frozenset(("seq", "time", "prev", "kind", "salt"))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    place_arguments(parser)
    parser.add_argument("--last", type=positive, metavar="N", help="print the last N entries only")
    parser.add_argument("--since", type=since, metavar="TIME", help="from then on: 2026-03-04T05:06, 90m, 7d")
    parser.add_argument("--tenant", metavar="NAME", help="entries of this tenant only")
    parser.add_argument(
        "--kind", metavar="KIND", action="append", default=[], help="entries of this kind only: admin, root"
    )
    parser.add_argument("--denied", action="store_true", help="denials only")
    parser.add_argument("--follow", action="store_true", help="go on printing what comes, until interrupted")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, as it is in the ledger")


def since(text: str) -> str:
    """Read a time or an age from the command line; return it as the ledger writes times."""
    from strongroom.broker.ledger.chain import timestamp

    try:
        if text[-1:] in _UNITS and text[:-1].isdecimal() and len(text) <= MAX_AGE_CHARS:
            return timestamp(datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])}))
        at = datetime.fromisoformat(text)
        return timestamp(at if at.tzinfo else at.replace(tzinfo=UTC))
    except OverflowError:
        raise ValueError from None


def run(args: argparse.Namespace) -> int:
    """Print the entries."""
    args.shown = False
    with open_place(args) as place:
        if not place.exists:
            sys.stderr.write(f"{place.name} is not there yet: the broker made no decision\n")
            return 0
        after = _print(place, args, -1)
        if after >= 0 and not args.shown:
            sys.stderr.write(f"none of the {after + 1} lines is of that kind\n")
        while args.follow:
            sys.stdout.flush()
            time.sleep(FOLLOW_S)
            after = _print(place, args, after)
        return 0


def _print(place: Place, args: argparse.Namespace, after: int) -> int:
    """Print what stands behind line `after`; return the number of the last line that was looked at."""
    last = [after]
    wanted = (entry for entry in _entries(place, last) if _wanted(entry, args))
    for entry in deque(wanted, args.last) if args.last and after < 0 else wanted:
        args.shown = True
        sys.stdout.write(json.dumps(entry) + "\n" if args.json else "\n".join(lines_of(entry)) + "\n")
    return last[0]


def _entries(place: Place, last: list[int]) -> Iterator[dict[str, Any]]:
    from strongroom.broker.ledger import chain

    for seq, line in place.lines(last[0]):
        last[0] = seq
        yield chain.read_line(line, seq=seq)


def _wanted(entry: Mapping[str, Any], args: argparse.Namespace) -> bool:
    return (
        (not args.kind or entry["kind"] in args.kind)
        and (not args.denied or entry.get("decision") == "denied")
        and (args.since is None or str(entry["time"]) >= args.since)
        and (args.tenant is None or _tenant(entry) == args.tenant)
    )


def _tenant(entry: Mapping[str, Any]) -> object:
    """Return whose an entry is; decisions from before there were tenants are the first one's."""
    return entry.get("tenant", "default" if entry["kind"] == "decision" else None)


def lines_of(entry: dict[str, Any]) -> Iterator[str]:
    """Yield an entry as a person reads it. Entries are shown as they are, even if somebody changed them."""
    head = f"{entry['seq']:>6}  {_word(entry['time'])}"
    if entry["kind"] == "root":
        yield f"{head}  root  over {_word(entry.get('size'))} lines, signed"
        return
    if entry["kind"] != "decision":
        details = (f"{_word(name)} {_detail(value)}" for name, value in entry.items() if name not in _OWN)
        yield f"{head}  {_word(entry['kind'])}  {', '.join(details)}"
        return
    what = f" {_word(entry.get('secret'))} by rule {json.dumps(entry.get('rule'))}" if entry.get("secret") else ""
    what = what or (f" {_word(entry['wanted'])}" if entry.get("wanted") else "")
    decision, peer, case = (_word(entry.get(name)) for name in ("decision", "peer", "id"))
    tenant = f" of {_word(entry['tenant'])}" if entry.get("tenant", "default") != "default" else ""
    yield f"{head}  {decision.upper()}{what}{tenant} to {peer} [{case}]"
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
    for name in ("observed", "expected", "fix") if reason.get("word") else ("observed", "fix"):
        yield f"          {name:<9} {_word(reason.get(name))}"


def _detail(value: object) -> str:
    return _word(value if isinstance(value, str | int) else json.dumps(value))


def _word(value: object) -> str:
    """Return a value on one line, without characters that would move the cursor of a terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(value))
