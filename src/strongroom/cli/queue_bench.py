"""Measure a queue from end to end with the lines of e2e_throughput.py, and latency, errors and a plot besides.

Every process submits its share and collects its own results; the time is from the first record sent to the last result.
Without --image_path a generated picture is sent. Exit status 0 only if every record has a prediction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.frame import Misuse
from strongroom.pki import disk

if TYPE_CHECKING:  # numpy and Redis' client load when the verb runs, not for --help
    from strongroom.streaming.bench.plan import Plan

FAILED_RECORDS = 4
CLIENT = "cs-client"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments; those of the original's script have its names and letters."""
    config = "config.yaml: jobName and where Redis is (default: ../../config.yaml where it exists)"
    parser.add_argument("-c", "--config_path", "--config", type=Path, metavar="FILE", help=config)
    parser.add_argument("-i", "--image_path", type=Path, metavar="FILE", help="picture to send (default: a made one)")
    parser.add_argument("-n", "--image_num", type=int, default=1000, metavar="N", help="records (default: 1000)")
    parser.add_argument("-p", "--proc_num", type=int, default=10, metavar="N", help="processes (default: 10)")
    keys = "folder with ca.crt, client.crt, client.key and client.password (default: ../keys where it exists)"
    parser.add_argument("-k", "--keydir", type=Path, metavar="DIR", help=keys)
    parser.add_argument("--user", help="user of Redis (default: cs-client where the folder has its password)")
    parser.add_argument("--wire", choices=("jpeg", "raw", "arrow"), default="jpeg", help="how a picture is sent")
    parser.add_argument("--floats", type=int, metavar="N", help="send a tensor of N numbers instead of a picture")
    parser.add_argument("--sealed", type=Path, metavar="FILE", help="seal records to this public queue key")
    parser.add_argument("--owner-key", type=Path, metavar="FILE", help="the owner's public key, which signed it")
    parser.add_argument("--window", type=int, default=1024, help="records under way for each process (default: 1024)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for a result (default: 60)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a plot to one HTML file")
    as_json = "write the numbers as JSON to FILE; without FILE print them and no lines"
    parser.add_argument("--json", metavar="FILE", nargs="?", const="-", help=as_json)


def run(args: argparse.Namespace) -> int:
    """Send, collect, and print what the run came to."""
    from strongroom.streaming.bench import numbers, senders
    from strongroom.streaming.bench.page import page

    say = _silent if args.json == "-" else _line
    options = options_of(args)
    plan = plan_of(args, options)
    _initial_dequeue(options, say)
    say("Entering enqueue")
    for index in range(plan.processes):
        say(f"Entering enqueue {index}")
    shares = senders.run(plan, lambda seen, bad: say(f"Received {seen} results, including {bad} invalid results"))
    found = numbers.numbers(shares, images=plan.images)
    say(f"{plan.images} images enqueued\ntotal enqueue time: {found['enqueue_seconds']}")
    say(f"enqueue fps: {found['enqueue_per_s']}\nTotal dequeue time: {found['seconds']}")
    say(numbers.served_line(found))
    say(numbers.latency_line(found))
    if args.html:
        title = f"Queue {plan.settings.job.name}: {plan.images} records from {plan.processes} processes"
        text = page(title, found, numbers.over_time(shares), numbers.by_share(shares))
        disk.replace_public(args.html, text.encode())
    if args.json == "-":
        _line(json.dumps(found))
    elif args.json:
        disk.replace_public(Path(args.json), json.dumps(found, indent=1).encode() + b"\n")
    return FAILED_RECORDS if found["invalid"] else 0


def plan_of(args: argparse.Namespace, options: dict[str, Any]) -> Plan:
    """Return what is to be sent. Raises Misuse, UnevenLoad, BadImage, and what the configuration's reader raises."""
    from strongroom.streaming.bench.plan import Plan, inputs_for, picture
    from strongroom.streaming.client.settings import Settings

    if args.window < 1 or args.timeout <= 0 or (args.floats is not None and args.floats < 1):
        raise Misuse("--window, --timeout and --floats are greater than 0")
    image = picture(args.image_path)
    return Plan(
        settings=Settings.of(options, form="raw"), images=args.image_num, processes=args.proc_num,
        inputs=inputs_for(args.wire, image, floats=args.floats), window=args.window, wait_s=args.timeout,
    )  # fmt: skip


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return how the queue is reached: what the configuration says, and before it the key folder's files."""
    options: dict[str, Any] = {
        "config": args.config_path or _if_there(Path("../../config.yaml")),
        "form": "arrow" if args.wire == "arrow" else "raw", "seal_to": args.sealed, "owner_key": args.owner_key,
    }  # fmt: skip
    keys = args.keydir or _if_there(Path("../keys"))
    if keys is not None:
        named = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key", "password_file": "client.password"}
        options |= {word: keys / name for word, name in named.items() if (keys / name).exists()}
    user = args.user or (CLIENT if "password_file" in options else None)
    return options | ({"username": user} if user else {})


def _initial_dequeue(options: dict[str, Any], say: Callable[[str], None]) -> None:
    """Take what runs before left for a client of our name."""
    from strongroom.streaming.client.queues import OutputQueue

    say("Entering initial dequeue")
    began = time.monotonic()
    with OutputQueue(**options) as queue:
        count = len(queue.dequeue())
    seconds = time.monotonic() - began
    say(f"Dequeued {count} records in {seconds:.4f} sec, dequeue fps: {count / seconds:.1f}")
    say("Initial dequeue completed")


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _silent(_text: str) -> None:
    """Print nothing: a machine reads."""
