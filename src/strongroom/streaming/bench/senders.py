"""The processes of a run: each submits its share in round trips of many records and collects the results.

World: processes, clocks, the queue. Each client waits only for records of its own, so nobody searches keys.
"""

from __future__ import annotations

import itertools
import multiprocessing
import queue as queues
import resource
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.clusterserving.values import Result
from strongroom.errors import StrongroomError, Unreachable
from strongroom.streaming.bench.plan import AT_ONCE, Plan
from strongroom.streaming.client import Client, ResultTimeout, Submission, Ticket

LOOK_S: Final = 1.0
START_S: Final = 120.0


class SenderLost(Unreachable):
    """A process of the run ended before it had sent and collected its share."""

    code = "SR-QUEUE-BENCH-LOST"
    fix = "Look at the lines above; a queue that is not there or a full memory are the usual reasons."


@dataclass(slots=True)
class Share:
    """What one process did. Times are of the machine's monotonic clock, in seconds."""

    began_s: float = 0.0
    sent_s: float = 0.0
    ended_s: float = 0.0
    cpu_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    finished_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def run(plan: Plan, told: Callable[[int, int], None]) -> list[Share]:
    """Run all processes; `told` hears how many results came so far and how many of them are invalid.

    Raises SenderLost, or what the first process that failed said.
    """
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(plan.processes)
    news: Any = context.Queue()
    senders = [context.Process(target=_sender, args=(plan, index, start, news)) for index in range(plan.processes)]
    for each in senders:
        each.start()
    try:
        return list(_collected(plan, senders, news, told))
    finally:
        for each in senders:
            each.kill()
            each.join()
            each.close()


def _collected(plan: Plan, senders: list[Any], news: Any, told: Callable[[int, int], None]) -> Iterator[Share]:  # noqa: ANN401  # a queue between processes
    seen, wrong, left = 0, 0, plan.processes
    while left:
        try:
            message = news.get(timeout=LOOK_S)
        except queues.Empty:
            if any(each.exitcode for each in senders):
                raise SenderLost("a process of the run died") from None
            continue
        if isinstance(message, Share):
            left -= 1
            yield message
        elif isinstance(message, str):
            raise SenderLost(message)
        else:
            seen, wrong = seen + message[0], wrong + message[1]
            told(seen, wrong)


def _sender(plan: Plan, index: int, start: Any, news: Any) -> None:  # noqa: ANN401  # as above
    try:
        with Client.with_settings(plan.settings) as client:
            news.put(_share(client, plan, index, start, news))
    except (StrongroomError, OSError) as problem:
        start.abort()
        news.put(f"process {index}: {problem}")


def _share(client: Client, plan: Plan, index: int, start: Any, news: Any) -> Share:  # noqa: ANN401  # as above
    run_id, share = uuid.uuid4().hex[:12], Share()
    start.wait(START_S)
    share.began_s, cpu_s = time.monotonic(), _cpu_s()
    pending: dict[Ticket, float] = {}
    sent, heard = 0, time.monotonic()
    fresh = [0, 0]
    while sent < plan.share or pending:
        count = min(AT_ONCE, plan.share - sent, plan.window - len(pending))
        if count > 0:
            uris = [f"my-img-{index * plan.share + sent + each}-{run_id}" for each in range(count)]
            now = time.monotonic()
            batch = [Submission(inputs=plan.inputs, uri=uri) for uri in uris]
            pending |= dict.fromkeys(client.submit_many(batch, wait_s=plan.wait_s), now)
            sent += count
            share.sent_s = time.monotonic()
        if count <= 0 or sent == plan.share:
            _harvest(client, pending, share, fresh, plan.wait_s)
        if sum(fresh) and (time.monotonic() - heard > LOOK_S or not pending):
            news.put((fresh[0], fresh[1]))
            fresh, heard = [0, 0], time.monotonic()
    share.ended_s = time.monotonic()
    share.cpu_s = _cpu_s() - cpu_s
    return share


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _harvest(client: Client, pending: dict[Ticket, float], share: Share, fresh: list[int], wait_s: float) -> None:
    """Wait until the oldest record has its result, and take what else has come: mostly they come in order."""
    oldest = list(itertools.islice(pending, 2 * AT_ONCE))
    try:
        next(client.as_completed(oldest[:1], wait_s))
    except ResultTimeout:
        share.errors["no result in time"] += len(pending)
        pending.clear()
        return
    now = time.monotonic()
    for ticket in [each for each in oldest if each.done]:
        began = pending.pop(ticket)
        fresh[0] += 1
        try:
            _check(ticket.result(0))
        except StrongroomError as problem:
            share.errors[problem.code] += 1
            fresh[1] += 1
        else:
            share.latencies_s.append(now - began)
            share.finished_s.append(now)


def _check(result: Result) -> None:
    if result.error is not None:
        raise result.error
