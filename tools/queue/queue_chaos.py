"""Send records while workers and Redis are killed at random, then prove that each has exactly one result or error.

    python tools/queue/queue_chaos.py --records 100000 --seed 7

Redis confirms nothing before it is on disk (appendfsync always). Every record has a number in it and an idempotency
key, so that a sender may repeat what it is unsure of. Afterwards the senders' results are held against the numbers, and
Redis' own append-only file says how often a result was written for each record.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from appended import results_written
from scene import Scene, Worker

from strongroom.clusterserving.faults import QueueFull
from strongroom.errors import StrongroomError
from strongroom.streaming.client import Client, ResultTimeout, Submission, Ticket
from strongroom.streaming.link.place import RedisAway

AT_ONCE: Final = 64
UNDER_WAY: Final = 2048  # for each sender
PATIENCE_S: Final = 180.0  # nothing at all may come for so long
LOOK_S: Final = 0.05
BAD_SHARE: Final = 0.02
TYPED: Final = frozenset({"SR-QUEUE-POISONED", "SR-QUEUE-SHAPE"})


@dataclass(slots=True)
class Ledger:
    """What senders know: the entry of each accepted record, and what came of it."""

    accepted: dict[str, str] = field(default_factory=dict)
    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def record(number: int) -> Submission:
    """Return the record of a number; some have a shape that the model does not take."""
    uri = f"r{number}"
    values = np.array([number, 1, 2, 3] if not is_bad(number) else [number], np.float32)
    return Submission(inputs={"t": values}, uri=uri, idempotency_key=uri)


def is_bad(number: int) -> bool:
    """Whether a record is sent with a wrong shape."""
    return random.Random(number).random() < BAD_SHARE  # noqa: S311  # the same for the same number


def send(scene: Scene, numbers: Sequence[int], ledger: Ledger) -> None:
    """Submit records, again where it is not known whether they were taken, and check what comes back."""
    with Client.with_settings(scene.settings()) as client:
        pending: dict[Ticket, int] = {}
        at, moved = 0, time.monotonic()
        while at < len(numbers) or pending:
            if at < len(numbers) and len(pending) < UNDER_WAY:
                portion = numbers[at : at + AT_ONCE]
                pending |= _submitted(client, portion, ledger)
                at += len(portion)
                if at < len(numbers) and len(pending) < UNDER_WAY // 2:
                    continue
            done = _collected(client, pending)
            for ticket in done:
                _judge(ticket, pending.pop(ticket), ledger)
            moved = time.monotonic() if done else moved
            if time.monotonic() - moved > PATIENCE_S:
                with ledger.lock:
                    ledger.broken += [f"{ticket.uri}: no result" for ticket in pending]
                return


def _submitted(client: Client, numbers: Sequence[int], ledger: Ledger) -> dict[Ticket, int]:
    taken: dict[Ticket, int] = {}
    left = list(numbers)
    while left:
        try:
            tickets = client.submit_many([record(each) for each in left], wait_s=PATIENCE_S)
        except RedisAway:
            continue  # the idempotency keys make it safe
        again = []
        for ticket, number in zip(tickets, left, strict=True):
            if ticket.entry_id is None:
                again.append(number)
                _expect_full(ticket)
                continue
            taken[ticket] = number
            with ledger.lock:
                before = ledger.accepted.setdefault(ticket.uri, ticket.entry_id)
                if before != ticket.entry_id:
                    ledger.broken.append(f"{ticket.uri}: accepted twice, as {before} and {ticket.entry_id}")
        left = again
    return taken


def _expect_full(ticket: Ticket) -> None:
    """Raise what refused a record unless that is a full queue."""
    try:
        ticket.result(0)
    except QueueFull:
        return


def _collected(client: Client, pending: dict[Ticket, int]) -> list[Ticket]:
    try:
        next(client.as_completed(list(pending), 5.0))
    except (ResultTimeout, RedisAway):
        return []
    return [each for each in pending if each.done]


def _judge(ticket: Ticket, number: int, ledger: Ledger) -> None:
    with ledger.lock:
        try:
            result = ticket.result(0)
        except StrongroomError as problem:
            ledger.errors[problem.code] += 1
            if problem.code not in TYPED or (problem.code == "SR-QUEUE-SHAPE") != is_bad(number):
                ledger.broken.append(f"{ticket.uri}: {problem.code}: {problem.sentence}")
            return
        wanted = np.array([2 * number + 1, 3, 5], np.float32)
        if is_bad(number) or not np.array_equal(result.outputs["y"], wanted) or result.entry_id != ticket.entry_id:
            ledger.broken.append(f"{ticket.uri}: {result.outputs} for entry {result.entry_id}, not {wanted}")
        ledger.right += 1


class Killer:
    """Kills a worker or Redis now and then, and starts it again; the seed says when and which.

    It has no thread of its own: what it starts ends with the thread that started it.
    """

    def __init__(self, scene: Scene, seed: int, records_a_fault: float) -> None:
        self._scene, self._records_a_fault = scene, records_a_fault
        self._dice = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._next_number = len(scene.workers) + 1
        self.kills: Counter[str] = Counter()

    def until(self, over: threading.Event, came_back: Callable[[], int]) -> Iterator[int]:
        """Strike each time so and so many more records have come back, until `over` is set; yield how many have.

        Records count, not seconds: on a slow machine workers would be killed before they have begun.
        """
        next_at = self._dice.uniform(0.5, 1.5) * self._records_a_fault
        while not over.wait(LOOK_S):
            if came_back() >= next_at:
                yield came_back()
                self._strike(over)
                next_at = came_back() + self._dice.uniform(0.5, 1.5) * self._records_a_fault

    def _strike(self, over: threading.Event) -> None:
        kind = self._dice.choice(("worker killed", "worker killed", "worker asked to end", "Redis killed"))
        self.kills[kind] += 1
        if kind == "Redis killed":
            self._scene.redis.kill()
            over.wait(self._dice.uniform(0.0, 0.5))
            self._scene.redis.start()
            return
        victim = self._scene.workers.pop(self._dice.randrange(len(self._scene.workers)))
        if kind == "worker killed":
            victim.process.kill()
        else:
            victim.process.terminate()
        victim.process.wait()
        number = self._next_number if self._dice.random() < 0.5 else _number_of(victim)
        self._next_number += 1
        self._scene.start_worker(number)


def _number_of(worker: Worker) -> int:
    words = worker.process.args
    config = str(words[-1]) if isinstance(words, list) else ""
    return int(Path(config).stem.removeprefix("worker-"))


def after(scene: Scene, ledger: Ledger, total: int) -> None:
    """Hold Redis' own memory and its append-only file against what the senders know."""
    admin, job = scene.redis.admin, scene.job
    written = results_written(scene.home.folder / "data" / "appendonlydir", job.result_prefix)
    for uri in ledger.accepted:
        if written[uri.encode()] != 1:
            ledger.broken.append(f"{uri}: {written[uri.encode()]} results were written")
    strangers = set(written) - {uri.encode() for uri in ledger.accepted}
    ledger.broken += [f"{uri!r}: a result for a record that nobody sent" for uri in sorted(strangers)[:10]]
    if len(ledger.accepted) != total:
        ledger.broken.append(f"{len(ledger.accepted)} of {total} records were accepted")
    if (left := admin("XLEN", job.stream)) != 0:
        ledger.broken.append(f"{left} records are still in the stream")
    pending: Any = admin("XPENDING", job.stream, "serving")
    if pending[0] != 0:
        ledger.broken.append(f"{pending[0]} records are still pending")


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run and return the report."""
    ledger, began = Ledger(), time.monotonic()
    keys = {"claimIdleMs": 1000, "batchSize": 64, "maxDeliveries": 20}
    with Scene.make(folder, durable=True, job="chaos", keys=keys) as scene:
        scene.redis.admin("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        scene.redis.admin("CONFIG", "REWRITE")
        for number in range(arguments.workers):
            scene.start_worker(number + 1)
        scene.await_ready(scene.workers[0])
        killer = Killer(scene, arguments.seed, arguments.records / (arguments.faults + 1))
        shares = [range(arguments.records)[start :: arguments.senders] for start in range(arguments.senders)]
        over = threading.Event()
        everybody = threading.Thread(target=_send_all, args=(scene, shares, ledger, over), name="senders")
        everybody.start()
        for done in killer.until(over, lambda: ledger.right + ledger.errors.total()):
            told = f"{done} of {arguments.records} records have come back, {killer.kills.total()} faults"
            sys.stderr.write(f"\r{told} ")
            sys.stderr.flush()
        everybody.join()
        sys.stderr.write("\n")
        seconds = time.monotonic() - began
        scene.stop_workers()
        after(scene, ledger, arguments.records)
    return {
        "records": arguments.records, "seed": arguments.seed, "seconds": round(seconds, 1), "right": ledger.right,
        "errors": dict(ledger.errors), "faults": dict(killer.kills), "broken": ledger.broken[:50],
        "broken_count": len(ledger.broken),
    }  # fmt: skip


def _send_all(scene: Scene, shares: Sequence[Sequence[int]], ledger: Ledger, over: threading.Event) -> None:
    try:
        with ThreadPoolExecutor(len(shares)) as pool:
            for each in [pool.submit(send, scene, share, ledger) for share in shares]:
                each.result()
    except BaseException as problem:  # noqa: BLE001  # told to the one who waits
        with ledger.lock:
            ledger.broken.append(f"a sender ended: {problem!r}")
    finally:
        over.set()


def main() -> int:
    """Run, print the report as JSON, and end with 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="work in this new folder, and leave it as it is")
    parser.add_argument("--faults", type=int, default=40, help="about so many (default: 40)")
    arguments = parser.parse_args()
    sys.stderr.write(f"seed {arguments.seed}\n")
    with tempfile.TemporaryDirectory(prefix="strongroom-queue-") as folder:
        report = run(arguments, arguments.keep or Path(folder) / "scene")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["broken_count"] else 0


if __name__ == "__main__":
    sys.exit(main())
