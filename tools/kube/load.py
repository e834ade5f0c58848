"""Calls of the client SDK, without a pause, until told to end: what a data owner's program does meanwhile.

    python -m kube.load --url grpcs://ADDRESS:PORT --host NAME --client FOLDER --model NAME --out FILE
    python -m kube.load … --evidence-url https://ADDRESS:PORT --trust FOLDER   # ask once, after evidence; print it

One line of JSON for each call: when it began, how long it took, which kind of caller, and what went wrong, if anything.
Every answer is checked. Callers "patient" repeat what was not answered; "once" never does, and shows what the cluster
alone keeps. World: threads, sockets, one file.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

import numpy as np

from strongroom.client import Client, Retries
from strongroom.errors import StrongroomError

PATIENT: Final = "patient"
ONCE: Final = "once"
RETRIES: Final = Retries(attempts=12, unknown=True, longest_pause_s=1.0)
TIMEOUT_S: Final = 30.0
MAX_AGE_S: Final = 3.0  # short, so that replicas that come get their share within the run
PAUSE_S: Final = 0.01
GIVEN: Final = np.array([1.0, 2.0, 5.0], dtype=np.float32)
WANTED: Final = np.array([2.5, 3.0, 4.5], dtype=np.float32)


class Log:
    """Lines that several threads write."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._lock = file, threading.Lock()

    def write(self, kind: str, began: float, error: str | None) -> None:
        """Note one call; times are seconds since the epoch, so that another process can place them."""
        line = {"kind": kind, "began": round(began, 4), "seconds": round(time.time() - began, 4), "error": error}
        with self._lock:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()


def call(client: Client, model: str) -> str | None:
    """Ask once; return what went wrong."""
    try:
        answer = client.predict(model, {"x": GIVEN})
    except StrongroomError as problem:
        return f"{problem.code} {problem.sentence}"
    found = answer["y"]
    return None if np.allclose(found, WANTED) else f"WRONG ANSWER {found!r}"


def caller(make: Callable[[], Client], kind: str, model: str, log: Log, ended: threading.Event) -> None:
    """Ask until told to end."""
    with make() as client:
        while not ended.is_set():
            began = time.time()
            log.write(kind, began, call(client, model))
            ended.wait(PAUSE_S)


def ask_once(args: argparse.Namespace) -> int:
    """Have the server prove what it is, ask, and print both as JSON."""
    folder: Path = args.client
    with Client(
        args.url, ca=folder / "ca_cert.pem", certificate=folder / "cert.pem", key=folder / "key.pem",
        server_name=args.host, timeout_s=TIMEOUT_S, trust=args.trust, evidence_url=args.evidence_url,
    ) as client:  # fmt: skip
        answer = client.predict(args.model, {"x": GIVEN})
        proof = client.proof(args.model)
    sys.stdout.write(
        json.dumps({"y": answer["y"].tolist(), "rule": proof.evidence.rule if proof.evidence else None}) + "\n"
    )
    return 0


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("url", "host", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--client", type=Path, required=True, help="folder of the client's files")
    parser.add_argument("--out", type=Path, default=Path("/dev/stdout"))
    parser.add_argument("--trust", type=Path, help="ask once, after the server proved itself by these rules")
    parser.add_argument("--evidence-url")
    parser.add_argument("--patient", type=int, default=3)
    parser.add_argument("--once", type=int, default=4)
    args = parser.parse_args()
    if args.trust:
        return ask_once(args)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    def client(retries: Retries | int) -> Client:
        folder: Path = args.client
        return Client(
            args.url, ca=folder / "ca_cert.pem", certificate=folder / "cert.pem", key=folder / "key.pem",
            server_name=args.host, timeout_s=TIMEOUT_S, connections=2, max_age_s=MAX_AGE_S, retries=retries,
        )  # fmt: skip

    with args.out.open("a", encoding="utf-8") as file:
        log = Log(file)
        kinds = [(PATIENT, RETRIES)] * args.patient + [(ONCE, 0)] * args.once
        threads = [
            threading.Thread(
                target=caller, args=(lambda retries=retries: client(retries), kind, args.model, log, ended)
            )
            for kind, retries in kinds
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
