"""Measure a server with the reference client's flags and lines, or with a matrix of loads; say percentiles and errors.

The protocol is gRPC, or REST for an https:// address. TLS as in the reference: -crt alone is the server's certificate
(one-way), -ca with -crt and -key is mutual. Neither is plaintext, which needs --insecure. A warm-up runs first. Lists
of tasks or batches (1,16,64 or 1..64) make a matrix. Exit status 0 only if no request failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.frame import Misuse

if TYPE_CHECKING:  # the client loads when the verb runs, not for --help
    from strongroom.client import Load, LoadRun, Shape, Tally
    from strongroom.client.bench import Say
    from strongroom.client.bench_plan import Cell

    Outcome = tuple[Shape, Tally]

DEFAULT_MODEL = "resnet50-v15-fp32"
DEFAULT_LOOPS = 200
MATRIX_SECONDS = 5.0
FAILED_REQUESTS = 4


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments; the reference client's come with one dash, and ours take both forms."""
    parser.add_argument("-url", "--url", default="localhost:8500", help="HOST:PORT of the gRPC port, or https://…")
    parser.add_argument("-img", "--img", type=Path, help="photograph (default: random pixels)")
    parser.add_argument("-ca", "--ca", type=Path, help="CA of the server's certificate")
    parser.add_argument("-crt", "--crt", type=Path, help="client certificate; alone: the server's certificate")
    parser.add_argument("-key", "--key", type=Path, help="key of the client certificate")
    parser.add_argument("-batch", "--batch", default="1", help="images a request, or a list (default: 1)")
    tasks = "tasks, one connection each, or a list (default: 16)"
    parser.add_argument("-cnum", "--cnum", "--connections", default="16", help=tasks)
    loops = f"requests a task, 0 without end (default: {DEFAULT_LOOPS}, without --seconds)"
    parser.add_argument("-loop", "--loop", type=int, help=loops)
    parser.add_argument("--seconds", type=float, help=f"end each load after so long (a matrix: {MATRIX_SECONDS:g})")
    parser.add_argument("--plan", choices=("matrix", "edges"), default="matrix", help="every pair, or each list alone")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    parser.add_argument("--input", default="input", help="name of its input (default: input)")
    parser.add_argument("--output", default="predict", help="name of its output (default: predict)")
    parser.add_argument("--signature", default="serving_default", help="signature (default: serving_default)")
    parser.add_argument("--server-name", help="name that the server's certificate carries, if not the host")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds for each request (default: 30)")
    retries = "repeat a request that was not answered so often before it counts as failed (default: 0)"
    parser.add_argument("--retries", type=int, default=0, metavar="N", help=retries)
    parser.add_argument("--insecure", action="store_true", help="allow a channel without TLS")
    parser.add_argument("--whole-answer", action="store_true", help="print every value of the first answer")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with charts to one HTML file")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no lines")
    parser.add_argument("--samples", action="store_true", help="with --json: the latency of every request")


def run(args: argparse.Namespace) -> int:
    """Warm up, run, and print what happened."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # failures are counted by us
    cells, load = cells_of(args), load_of(args)
    runs, failed = (_one if len(cells) == 1 else _matrix)(args, load, cells)
    from strongroom.client import bench_report

    numbers = [bench_report.to_json_object(shape, tally, samples=args.samples) for shape, tally in runs]
    if args.html:
        from strongroom.client.bench_html import report

        args.html.write_text(report(about(load, args), numbers), encoding="utf-8")
    if args.json:
        single = len(cells) == 1 and numbers
        _line(json.dumps({"model": load.model, **(numbers[0] if single else {"runs": numbers})}))
    if runs and not any(tally.latencies_s for _, tally in runs):
        _notice(_advice(load))
    return FAILED_REQUESTS if failed or any(tally.errors for _, tally in runs) else 0


def _one(args: argparse.Namespace, load: Load, _cells: tuple[Cell, ...]) -> tuple[list[Outcome], bool]:
    """Run one load as the reference client does; return what came of it, and whether its warm-up failed."""
    from strongroom.client import WARM_UP_LOOPS, LoadRun, bench_report

    say, failed = _silent if args.json else _line, False
    if load.shape.loop or load.seconds is not None:
        warm_up = LoadRun(replace(load, shape=replace(load.shape, loop=WARM_UP_LOOPS), seconds=None), say)
        warm_up.go()
        _say_end(warm_up, say, whole=args.whole_answer)
        failed = bool(warm_up.tally.errors)
    measured = LoadRun(load, say)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a run without end ends
        measured.go()
    _say_end(measured, say, whole=args.whole_answer)
    say(bench_report.percentile_line(load.shape, measured.tally))
    return [(load.shape, measured.tally)], failed


def _matrix(args: argparse.Namespace, load: Load, cells: tuple[Cell, ...]) -> tuple[list[Outcome], bool]:
    """Run every load after one request a task; Ctrl-C ends the matrix and keeps what was measured."""
    from strongroom.client import LoadRun, bench_report

    say, failed = _silent if args.json else _line, False
    runs: list[Outcome] = []
    with contextlib.suppress(KeyboardInterrupt):
        for index, (cnum, batch) in enumerate(cells):
            _notice(f"load {index + 1} of {len(cells)}: {cnum} tasks, batch {batch}")
            shape = replace(load.shape, cnum=cnum, batch=batch)
            measured = LoadRun(replace(load, shape=shape), _silent)
            failed |= bool(measured.warm_up().errors)
            runs.append((shape, measured.tally))
            measured.go()
            say(bench_report.summary_line(shape, measured.tally))
            say(bench_report.percentile_line(shape, measured.tally))
    for line in bench_report.grid_lines(runs):
        say(line)
    return runs, failed


def cells_of(args: argparse.Namespace) -> tuple[Cell, ...]:
    """Return the loads to run. Raises Misuse."""
    from strongroom.client.bench_plan import MAX_BATCH, MAX_TASKS, Plan, cells, numbers

    try:
        return cells(numbers(args.cnum, most=MAX_TASKS), numbers(args.batch, most=MAX_BATCH), Plan(args.plan))
    except ValueError as problem:
        raise Misuse(f"-cnum and -batch: {problem}") from None


def load_of(args: argparse.Namespace) -> Load:
    """Return what to send where, for the first load.

    Raises Misuse, BadUrl, PlaintextRefused, BadCredentials, BadRetries or BadImage.
    """
    from strongroom.client import Credentials, Load, Retries, Shape, parse_address, read_image

    Retries.of(args.retries)
    cells = cells_of(args)
    loop, seconds = _length(args, matrix=len(cells) > 1)
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
        shape=Shape(secure=address.secure, cnum=cells[0][0], batch=cells[0][1], loop=loop),
        model=args.model,
        input_name=args.input,
        output_name=args.output,
        signature_name=args.signature,
        image=read_image(args.img) if args.img else None,
        timeout_s=args.timeout,
        seconds=seconds,
        retries=args.retries,
    )


def _length(args: argparse.Namespace, *, matrix: bool) -> tuple[int, float | None]:
    """Return requests a task (0 = no end) and seconds. Raises Misuse."""
    if (args.loop is not None and args.loop < 0) or (args.seconds is not None and not 0 < args.seconds <= 86400):
        raise Misuse("-loop is at least 0, --seconds more than 0 and at most a day")
    seconds = args.seconds if args.seconds is not None or args.loop or not matrix else MATRIX_SECONDS
    if args.loop is not None:
        return args.loop, seconds
    return (DEFAULT_LOOPS if seconds is None else 0), seconds


def about(load: Load, args: argparse.Namespace) -> dict[str, str]:
    """Return what a reader of the report has to know about it."""
    import platform
    from datetime import UTC, datetime

    mutual = "mutual TLS" if load.credentials.certificate else "TLS"
    length = [f"{load.shape.loop} requests a task"] if load.shape.loop else []
    length += [f"{load.seconds:g} s a load"] if load.seconds is not None else []
    return {
        "model": load.model,
        "server": str(load.address),
        "channel": mutual if load.address.secure else "plaintext",
        "images": str(args.img) if args.img else "random pixels",
        "length": ", ".join(length) or "until Ctrl-C",
        "client": f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _advice(load: Load) -> str:
    """Return what to look at when no request was answered."""
    return (
        f"no request was answered: look at -url ({load.address}), --model ({load.model}), --signature, --input "
        f"({load.input_name}) and --output ({load.output_name}); pictures are what is sent. "
        f"GET /v1/models/{load.model}/metadata says what a model takes."
    )


def _say_end(run: LoadRun, say: Say, *, whole: bool) -> None:
    """Say the first answer and the summary, as the reference client does after each run."""
    from strongroom.client import bench_report

    if run.first is not None:
        say(str(run.first_as_dict(whole=whole)))
    say(bench_report.summary_line(run.load.shape, run.tally))


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _notice(text: str) -> None:
    """Say how far a matrix is, on stderr: in place on a terminal, else a line each."""
    end = "\r" if sys.stderr.isatty() else "\n"
    sys.stderr.write(f"{text:<60}{end}" if end == "\r" else f"{text}\n")
    sys.stderr.flush()


def _silent(_text: str) -> None:
    """Say nothing: --json prints one object at the end."""
