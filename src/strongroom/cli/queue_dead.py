"""Look at the records that no worker could finish, give them to the queue again, or drop them.

  strongroom queue dead list           what there is, oldest first: id, code, uri, when
  strongroom queue dead show ID        one record's fields; inputs as sizes alone, unless --data says otherwise
  strongroom queue dead requeue ID...  try again; a sealed record has to be sent again by its sender
  strongroom queue dead drop ID...     forget

The configuration names the user: requeue needs one that may admit records and delete dead letters (cs-admin).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from typing import TYPE_CHECKING, Any

from strongroom.cli.queue_serve import config_argument, read_config

if TYPE_CHECKING:
    from strongroom.streaming.link.queue import AsyncQueue
    from strongroom.streaming.link.records import DeadLetter


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("what", choices=("list", "show", "requeue", "drop"))
    parser.add_argument("ids", nargs="*", metavar="ID", help="dead letters, as list names them")
    parser.add_argument("--all", action="store_true", help="all that there are (requeue, drop)")
    parser.add_argument("--data", action="store_true", help="show inputs too, in base64: they may be secret")
    config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from strongroom.cli.frame import Misuse

    if args.what == "show" and len(args.ids) != 1:
        raise Misuse("show takes one ID")
    if args.what in {"requeue", "drop"} and bool(args.ids) == args.all:
        raise Misuse(f"{args.what} takes IDs, or --all")
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from strongroom.streaming.link.queue import AsyncQueue, Bounds, Place
    from strongroom.streaming.worker.letters import letter_of, letters

    config = read_config(args.config)
    async with AsyncQueue(Place.of(config), config.job, Bounds.of(config), patience_s=0) as queue:
        if args.what == "list":
            _print_list(args, [letter async for letter in letters(queue)])
        elif args.what == "show":
            _print_one(args, await letter_of(queue, args.ids[0]))
        else:
            await _change(args, queue)
    return 0


async def _change(args: argparse.Namespace, queue: AsyncQueue) -> None:
    from strongroom.streaming.worker.letters import SealedLetter, letter_of, letters, requeue

    if args.what == "drop":
        ids = [letter.letter_id async for letter in letters(queue)] if args.all else args.ids
        sys.stdout.write(f"dropped {await queue.forget_dead(ids)}\n")
        return
    if not args.all:
        for each in args.ids:
            sys.stdout.write(f"{each} is {await requeue(queue, await letter_of(queue, each))} now\n")
        return
    for letter in [letter async for letter in letters(queue)]:
        try:
            sys.stdout.write(f"{letter.letter_id} is {await requeue(queue, letter)} now\n")
        except SealedLetter as problem:
            sys.stderr.write(f"{problem.sentence}; left\n")


def _print_list(args: argparse.Namespace, found: list[DeadLetter]) -> None:
    from strongroom.cli.admin_option import cell

    if args.json:
        sys.stdout.write(json.dumps([_shown(letter) for letter in found]) + "\n")
        return
    for letter in found:
        shown = _shown(letter)
        uri = cell("", shown["uri"])
        sys.stdout.write(f"{letter.letter_id}  {cell('', letter.code)}  {cell('x_ms', letter.buried_ms)}  {uri}\n")
    if not found:
        sys.stderr.write("there are no dead letters\n")


def _print_one(args: argparse.Namespace, letter: DeadLetter) -> None:
    from strongroom.cli.admin_option import cell

    shown = _shown(letter) | {"fields": {name: _field(name, raw, args.data) for name, raw in sorted(_fields(letter))}}
    if args.json:
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    for name, value in (shown | shown.pop("fields")).items():
        sys.stdout.write(f"{cell('', name):<10} {cell(name, value, most=10**7)}\n")


def _shown(letter: DeadLetter) -> dict[str, Any]:
    uri = letter.fields.get(b"uri", b"").decode("utf-8", "replace")
    return {"id": letter.letter_id, "entry": letter.entry_id, "code": letter.code, "buried_ms": letter.buried_ms,
            "uri": uri}  # fmt: skip


def _fields(letter: DeadLetter) -> list[tuple[str, bytes]]:
    return [(name.decode("utf-8", "replace"), raw) for name, raw in letter.fields.items() if name != b"uri"]


def _field(name: str, raw: bytes, with_data: bool) -> str:
    """Return a field as it is shown: what was sent to the model as its size, words as they are."""
    if name != "data" and not name.startswith("d:"):
        return raw.decode("utf-8", "replace")
    return base64.b64encode(raw).decode() if with_data else f"{len(raw)} bytes"
