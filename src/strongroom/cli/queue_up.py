"""Run a queue on this machine: Redis with TLS, workers and the HTTP front, from one command.

--model names a folder with one model, or -c a config.yaml (its Redis is not asked: a Redis of one's own is started).
Certificates, users and passwords are made in --folder at the first start and used again. Everything listens on
127.0.0.1, with TLS and client certificates. Ctrl-C ends all of it; with --detach it goes on until queue down.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.cli.frame import Misuse
from strongroom.cli.option_types import port, whole_number
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig
    from strongroom.streaming.local.layout import Layout

FOLDER = Path("queue")


class NoModel(BadInput):
    """queue up was told neither a model nor a configuration that names one."""

    code = "SR-QUEUE-UP-MODEL"
    fix = "Give --model DIR, or -c config.yaml with modelPath."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--model", type=Path, metavar="DIR", help="the folder with the model (modelPath)")
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="config.yaml")
    folder_argument(parser)
    parser.add_argument("--workers", type=whole_number(0, 256), default=1, metavar="N",
                        help="(default: 1; 0: they come from elsewhere, as attested ones do)")  # fmt: skip
    parser.add_argument("--redis-port", type=port, default=0, metavar="PORT", help="(default: a free one, then kept)")
    parser.add_argument("--http-port", type=port, default=0, metavar="PORT", help="(default: a free one, then kept)")
    parser.add_argument("--no-http", action="store_true", help="run no HTTP front")
    parser.add_argument("--compat", type=port, metavar="PORT",
                        help="also answer the original's client on this loopback port, WITHOUT TLS")  # fmt: skip
    parser.add_argument("--detach", action="store_true", help="return once it is ready, and let it run")
    parser.add_argument("--json", action="store_true", help="say where everything is as JSON")


def folder_argument(parser: argparse.ArgumentParser) -> None:
    """Add --folder."""
    parser.add_argument("--folder", type=Path, default=FOLDER, metavar="DIR",
                        help="keys, passwords, data and logs (default: queue)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM, SIGINT, or until a part ends."""
    from strongroom.streaming.local.layout import open_layout
    from strongroom.streaming.local.parts import check_free, running

    if args.compat is not None and not args.workers:
        raise Misuse("--compat is answered by a worker, and --workers 0 starts none")
    config = _config(args)
    check_free(args.folder / "running.json")
    layout = open_layout(
        args.folder, config, now=datetime.now(UTC), redis_port=args.redis_port, front_port=args.http_port
    )
    sys.stderr.write(f"starting the queue {layout.home.job.name}; its logs are in {layout.folder / 'logs'}\n")
    if args.detach:
        return _detached(args, layout)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with running(layout, stop, workers=args.workers, compat=args.compat, front=not args.no_http) as parts:
        if not stop.is_set():
            _say(args, layout)
        while not stop.wait(0.5):
            parts.check()
    return 0


def _config(args: argparse.Namespace) -> QueueConfig:
    """Return what is to be run, its paths made absolute. Raises NoModel, BadQueueConfig and its kin."""
    from strongroom.clusterserving.config import MAX_CONFIG_BYTES, QueueConfig
    from strongroom.pki import disk

    config = QueueConfig()
    if args.config is not None:
        config, warnings = QueueConfig.parse(disk.read_bounded(args.config, limit=MAX_CONFIG_BYTES))
        for each in warnings:
            sys.stderr.write(f"{args.config.name}: {each}\n")
    model = str(args.model) if args.model is not None else config.model_path
    if not model and args.workers:
        raise NoModel("there is no model to run")
    base = args.config.parent if args.config is not None else Path()
    paths: dict[str, Any] = {
        name: str((base / str(getattr(config, name))).absolute())
        for name in ("labels_file", "hook_file", "owner_key_file", "queue_key_file", "broker_ca_file")
        if getattr(config, name) is not None
    }
    if args.model is not None:
        model = str(args.model.absolute())
    elif model and "://" not in model:
        model = str((base / model).absolute())
    return replace(config, model_path=model, **paths)


def _detached(args: argparse.Namespace, layout: Layout) -> int:
    """Start this command again without a terminal, and wait until it is ready or has ended."""
    from strongroom.streaming.local.parts import ended, is_ready

    log = layout.log("up")
    with log.open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "strongroom", "queue", "up", *_words(args)],
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        while not is_ready(layout.note, child.pid) and child.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.1)
    except BaseException:  # Ctrl-C while it starts leaves nothing behind
        child.terminate()
        child.wait()
        raise
    if child.returncode is not None:
        raise ended("the queue did not start", log)
    child.returncode = 0  # it goes on without us; who takes over orphans takes it
    _say(args, layout)
    return 0


def _words(args: argparse.Namespace) -> list[str]:
    """Return the command line of the same queue in the foreground."""
    words = ["--folder", str(args.folder), "--workers", str(args.workers)]
    for name in ("model", "config", "compat"):
        value = getattr(args, name)
        words += [f"--{name}", str(value)] if value is not None else []
    return [*words, "--no-http"] if args.no_http else words


def _say(args: argparse.Namespace, layout: Layout) -> None:
    from strongroom.clusterserving.access import Role

    place = layout.home.place(Role.CLIENT)
    url = f"https://127.0.0.1:{layout.front_port}"
    facts = {
        "redis": place.spelled, "job": layout.home.job.name, "config": str(layout.config("client")),
        "http": None if args.no_http else url, "ca": place.ca_file, "certificate": place.cert_file,
        "key": place.key_file, "folder": str(layout.folder), "probe": str(layout.config("probe")),
        "admin": str(layout.config("admin")),
    }  # fmt: skip
    if args.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        sys.stdout.write(f"The queue {facts['job']} is ready: Redis at {facts['redis']}\n")
        sys.stdout.write(f"Send a record:\n  strongroom queue send -c {facts['config']} FILE…\n")
        if not args.no_http:
            identity = f"--cacert {facts['ca']} --cert {facts['certificate']} --key {facts['key']}"
            sys.stdout.write(f"Or over HTTPS:\n  curl {identity} {url}/predict -d '{{\"instances\": [{{…}}]}}'\n")
        sys.stdout.write(f"See how it fares:\n  strongroom queue status -c {facts['probe']}\n")
        down = f"strongroom queue down --folder {layout.folder}"
        sys.stdout.write(f"End it:\n  {down}\n" if args.detach else f"Ctrl-C, or {down}, ends it.\n")
    sys.stdout.flush()
