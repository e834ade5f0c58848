"""Measure a gRPC server with the reference client's flags and lines, and say percentiles and errors.

TLS as in the reference: -crt alone is the server's certificate (one-way), -ca with -crt and -key is mutual. Neither is
plaintext, which needs --insecure. A warm-up of 5 loops runs first. Exit status 0 only if no request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse

if TYPE_CHECKING:  # the client loads when the verb runs, not for --help
    from strongroom.client import Load, LoadRun
    from strongroom.client.bench import Say

DEFAULT_MODEL = "resnet50-v15-fp32"
FAILED_REQUESTS = 4
MAX_TASKS = 4096


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments; the reference client's come with one dash, and ours take both forms."""
    parser.add_argument("-url", "--url", default="localhost:8500", help="HOST:PORT of the gRPC port")
    parser.add_argument("-img", "--img", type=Path, help="photograph (default: random pixels)")
    parser.add_argument("-ca", "--ca", type=Path, help="CA of the server's certificate")
    parser.add_argument("-crt", "--crt", type=Path, help="client certificate; alone: the server's certificate")
    parser.add_argument("-key", "--key", type=Path, help="key of the client certificate")
    parser.add_argument("-batch", "--batch", type=int, default=1, help="images a request (default: 1)")
    parser.add_argument("-cnum", "--cnum", type=int, default=16, help="tasks, one channel each (default: 16)")
    parser.add_argument("-loop", "--loop", type=int, default=200, help="requests a task, 0 without end (default: 200)")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    parser.add_argument("--input", default="input", help="name of its input (default: input)")
    parser.add_argument("--output", default="predict", help="name of its output (default: predict)")
    parser.add_argument("--signature", default="serving_default", help="signature (default: serving_default)")
    parser.add_argument("--server-name", help="name that the server's certificate carries, if not the host")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for each request (default: 30)")
    parser.add_argument("--insecure", action="store_true", help="allow a channel without TLS")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no lines")


def run(args: argparse.Namespace) -> int:
    """Warm up, run, and print what happened."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # failures are counted by us
    from strongroom.client import WARM_UP_LOOPS, LoadRun, bench_report

    load, say = load_of(args), _silent if args.json else _line
    failed = False
    if load.shape.loop:
        warm_up = LoadRun(dataclasses.replace(load, shape=dataclasses.replace(load.shape, loop=WARM_UP_LOOPS)), say)
        warm_up.go()
        say_end(warm_up, say)
        failed = bool(warm_up.tally.errors)
    measured = LoadRun(load, say)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a run without end ends
        measured.go()
    say_end(measured, say)
    say(bench_report.percentile_line(load.shape, measured.tally))
    if args.json:
        _line(json.dumps({"model": load.model, **bench_report.to_json_object(load.shape, measured.tally)}))
    return FAILED_REQUESTS if failed or measured.tally.errors else 0


def load_of(args: argparse.Namespace) -> Load:
    """Return what to send where. Raises Misuse, BadUrl, PlaintextRefused, BadCredentials or BadImage."""
    from strongroom.client import Credentials, Load, Shape, parse_address, read_image

    if args.batch < 1 or not 1 <= args.cnum <= MAX_TASKS or args.loop < 0:
        raise Misuse(f"-batch is at least 1, -cnum 1 to {MAX_TASKS}, -loop at least 0")
    secure = bool(args.ca or args.crt)
    url = args.url if "://" in args.url else f"grpc{'s' if secure else ''}://{args.url}"
    pinned = args.crt is not None and args.ca is None
    credentials = Credentials(
        ca=args.ca,
        pin=args.crt if pinned else None,
        certificate=None if pinned else args.crt,
        key=None if pinned else args.key,
        server_name=args.server_name,
    )
    credentials.check()
    address = parse_address(url, insecure=args.insecure)
    return Load(
        address=address,
        credentials=credentials,
        shape=Shape(secure=address.secure, cnum=args.cnum, batch=args.batch, loop=args.loop),
        model=args.model,
        input_name=args.input,
        output_name=args.output,
        signature_name=args.signature,
        image=read_image(args.img) if args.img else None,
        timeout_s=args.timeout,
    )


def say_end(run: LoadRun, say: Say) -> None:
    """Say the first answer and the summary, as the reference client does after each run."""
    from strongroom.client import bench_report

    if run.first is not None:
        say(str(run.first_as_dict()))
    say(bench_report.summary_line(run.load.shape, run.tally))


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _silent(_text: str) -> None:
    """Say nothing: --json prints one object at the end."""
