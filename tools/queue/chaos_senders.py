"""Senders of the kill test, each with another way into the queue: threads, coroutines, HTTP, and one that is killed."""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from scene import Front, Scene

from strongroom.clusterserving.faults import QueueFull
from strongroom.clusterserving.values import Result
from strongroom.errors import StrongroomError, Unreachable
from strongroom.streaming.client import AsyncClient, Client, ResultTimeout, Submission, Ticket
from strongroom.streaming.client.settings import Settings
from strongroom.streaming.link.place import RedisAway

AT_ONCE: Final = 64
PORTION_OF_COROUTINES: Final = 700  # more than go in one round trip
UNDER_WAY: Final = 2048  # for each sender
PATIENCE_S: Final = 180.0  # nothing at all may come for so long
BAD_SHARE: Final = 0.02
SHORT_SHARE: Final = 0.03
TYPED: Final = frozenset({"SR-QUEUE-POISONED", "SR-QUEUE-SHAPE", "SR-QUEUE-DEADLINE"})
TIMES_KILLED: Final = 3


@dataclass(slots=True)
class Ledger:
    """What senders know: the entry of each accepted record, and what came of it."""

    accepted: dict[str, str] = field(default_factory=dict)
    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, uri: str, entry_id: str) -> None:
        """Note a record that was taken; it may be told again, and is the same entry then."""
        with self.lock:
            before = self.accepted.setdefault(uri, entry_id)
            if before != entry_id:
                self.broken.append(f"{uri}: accepted twice, as {before} and {entry_id}")

    def judge(self, number: int, entry_id: str | None, ask: Callable[[], Result]) -> None:
        """Hold a result against the number that was sent."""
        with self.lock:
            try:
                result = ask()
            except StrongroomError as problem:
                self._error(number, problem.code, problem.sentence)
                return
            self._result(number, entry_id, result.entry_id, result.outputs["y"])

    def _error(self, number: int, code: str, said: str) -> None:
        self.errors[code] += 1
        allowed = code == "SR-QUEUE-SHAPE" if is_bad(number) else code in TYPED - {"SR-QUEUE-SHAPE"}
        if not allowed and not (code == "SR-QUEUE-DEADLINE" and is_short(number)):
            self.broken.append(f"r{number}: {code}: {said}")
        if code == "SR-QUEUE-DEADLINE" and not is_short(number):
            self.broken.append(f"r{number}: it had no deadline")

    def _result(self, number: int, entry_id: str | None, answered: str | None, outputs: Any) -> None:
        wanted = np.array([2 * number + 1, 3, 5], np.float32)
        if is_bad(number) or not np.array_equal(outputs, wanted) or answered != entry_id:
            self.broken.append(f"r{number}: {outputs} for entry {answered}, not {wanted} for {entry_id}")
        self.right += 1


def is_bad(number: int) -> bool:
    """Whether a record is sent with a wrong shape."""
    return random.Random(number).random() < BAD_SHARE  # noqa: S311  # the same for the same number


def is_short(number: int) -> bool:
    """Whether a record has a deadline that it may miss."""
    return random.Random(f"short {number}").random() < SHORT_SHARE  # noqa: S311  # as above


def values(number: int) -> np.ndarray[Any, Any]:
    """Return what is sent: the answer tells the number."""
    return np.array([number, 1, 2, 3] if not is_bad(number) else [number], np.float32)


def record(number: int) -> Submission:
    """Return the record of a number."""
    deadline_ms = random.Random(number).choice((1, 20, 200)) if is_short(number) else None  # noqa: S311  # as above
    return Submission(
        inputs={"t": values(number)}, uri=f"r{number}", idempotency_key=f"r{number}", deadline_ms=deadline_ms
    )


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
                ledger.judge(pending.pop(ticket), ticket.entry_id, partial(ticket.result, 0))
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
            ledger.take(ticket.uri, ticket.entry_id)
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


def send_by_coroutines(scene: Scene, numbers: Sequence[int], ledger: Ledger) -> None:
    """As `send`, in portions larger than a round trip, with the client for coroutines."""
    asyncio.run(_send_by_coroutines(scene, numbers, ledger))


async def _send_by_coroutines(scene: Scene, numbers: Sequence[int], ledger: Ledger) -> None:
    async with AsyncClient.with_settings(scene.settings()) as client:
        for at in range(0, len(numbers), PORTION_OF_COROUTINES):
            left = list(numbers[at : at + PORTION_OF_COROUTINES])
            while left:
                try:
                    tickets = await client.submit_many([record(each) for each in left], wait_s=PATIENCE_S)
                except RedisAway:
                    continue
                sent = dict(zip(tickets, left, strict=True))
                left = [number for ticket, number in sent.items() if ticket.entry_id is None]
                taken = [ticket for ticket in tickets if ticket.entry_id is not None]
                for ticket in taken:
                    ledger.take(ticket.uri, ticket.entry_id or "")
                end = time.monotonic() + PATIENCE_S
                while time.monotonic() < end:
                    try:
                        await client.results(taken, PATIENCE_S)
                        break
                    except RedisAway:
                        continue
                for ticket in taken:
                    ledger.judge(sent[ticket], ticket.entry_id, ticket._wait.answer)  # noqa: SLF001  # it has come


def send_and_be_killed(scene: Scene, numbers: Sequence[int], ledger: Ledger) -> None:
    """Send in processes that are killed in the middle; one that lives to the end asks for the same records again."""
    context = multiprocessing.get_context("spawn")
    for _ in range(TIMES_KILLED):
        child = context.Process(target=_submit_all, args=(scene.settings(), list(numbers)), daemon=True)
        child.start()
        child.join(random.uniform(2.0, 6.0))  # noqa: S311  # when does not matter
        child.kill()
        child.join()
    send(scene, numbers, ledger)


def _submit_all(settings: Settings, numbers: Sequence[int]) -> None:
    with Client.with_settings(settings) as client:
        while True:
            for at in range(0, len(numbers), AT_ONCE):
                try:
                    tickets = client.submit_many([record(each) for each in numbers[at : at + AT_ONCE]], wait_s=60)
                    if random.random() < 0.5:  # noqa: S311  # some results are read, others are left
                        client.results([each for each in tickets if each.entry_id is not None], 5)
                except Unreachable:
                    continue


def send_by_http(front: Front, numbers: Sequence[int], ledger: Ledger) -> None:
    """Send through the HTTP front, each request again with its key until there is an answer of the queue's own.

    The front makes the names of records, so only the answers are judged.
    """
    connection = _connect(front)
    for number in numbers:
        body = json.dumps({"instances": [{"t": [float(each) for each in values(number)]}]})
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                connection.request("POST", "/predict", body, {"Content-Type": "application/json",
                                                              "Idempotency-Key": f"h{number}"})  # fmt: skip
                answer = connection.getresponse()
                status, text = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                status, text = 0, b""
            if status in {200, 422} or time.monotonic() > end:
                break
            time.sleep(0.05)
        with ledger.lock:
            told = (str(2.0 * number + 1) if not is_bad(number) else "shape_mismatch") in str(text)
            if not told or status != (422 if is_bad(number) else 200):
                ledger.broken.append(f"h{number}: {status} {text[:300]!r}")
            ledger.right += 1
    connection.close()


def _connect(front: Front) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=front.ca_file)
    context.load_cert_chain(front.cert_file, front.key_file)
    return http.client.HTTPSConnection("localhost", front.port, timeout=60, context=context)
