"""Send records while workers and Redis are killed at random, then prove that each has exactly one result or error.

    python tools/queue/queue_chaos.py --records 100000 --seed 7 [--harsh]

Redis confirms nothing before it is on disk (appendfsync always). Every record has a number in it and an idempotency
key, so that a sender may repeat what it is unsure of. Afterwards the senders' results are held against the numbers,
and Redis' own append-only file says how often a result was written for each record. `--harsh`: processes also stand
still for longer than their records are left to them, connections and scripts vanish, memory runs out; senders come as
threads, coroutines, through the HTTP front and as processes that are killed; a second job lies in the same Redis.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent))

from appended import results_written
from chaos_senders import Ledger, send, send_and_be_killed, send_by_coroutines, send_by_http
from queue_faults import Killer
from scene import Scene, open_files, resident_kib

from strongroom.clusterserving.names import GROUP, Job
from strongroom.streaming.client.core import derived

CONSUMERS_S: Final = 40.0  # by then the consumers of killed workers are gone
DRAIN_S: Final = 32.0


SUM: Final = """
local sum = 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'size' then sum = sum + entry[2][at + 1] end
  end
end
return {sum, tonumber(redis.call('GET', KEYS[2]) or 0), redis.call('XLEN', KEYS[1])}
"""


def check_bytes(scene: Scene, ledger: Ledger) -> None:
    """Hold the counter of bytes against the stream, in one step of Redis'."""
    found: Any = scene.redis.admin("EVAL", SUM, 2, scene.job.stream, scene.job.bytes)
    if isinstance(found, list) and found[0] != found[1] and found[2]:
        ledger.broken.append(f"the counter says {found[1]} bytes, the {found[2]} records have {found[0]}")


def after(scene: Scene, ledger: Ledger, total: int, http: Sequence[int] = ()) -> None:
    """Hold Redis' own memory and its append-only file against what the senders know."""
    admin, job = scene.redis.admin, scene.job
    written = results_written(scene.redis.home.folder / "data" / "appendonlydir", job.result_prefix)
    expected = {*ledger.accepted, *(derived(f"h{number}", "uri") for number in http)}
    for uri in expected:
        if written[uri.encode()] != 1:
            ledger.broken.append(f"{uri}: {written[uri.encode()]} results were written")
    strangers = set(written) - {uri.encode() for uri in expected}
    ledger.broken += [f"{uri!r}: a result for a record that nobody sent" for uri in sorted(strangers)[:10]]
    if len(expected) != total:
        ledger.broken.append(f"{len(expected)} of {total} records were accepted")
    if (left := admin("XLEN", job.stream)) != 0:
        ledger.broken.append(f"{left} records are still in the stream")
    pending: Any = admin("XPENDING", job.stream, GROUP)
    if pending[0] != 0:
        ledger.broken.append(f"{pending[0]} records are still pending")
    _check_lifetimes(scene, ledger)


def _check_lifetimes(scene: Scene, ledger: Ledger) -> None:
    """Whatever is one record's or one client's runs out by itself."""
    for prefix in (scene.job.result_prefix, scene.job.reply_prefix, f"cs-idem_{scene.job.name}:"):
        cursor: bytes = b"0"
        while True:
            found: Any = scene.redis.admin("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 5000)
            script = (
                "local n = 0 for _, k in ipairs(KEYS) do if redis.call('PTTL', k) == -1 then n = n + 1 end end return n"
            )
            for at in range(0, len(found[1]), 1000):
                part = found[1][at : at + 1000]
                if key := scene.redis.admin("EVAL", script, len(part), *part):
                    ledger.broken.append(f"{key!r} stays for ever")
            if (cursor := found[0]) == b"0":
                break


def check_consumers(scene: Scene, ledger: Ledger) -> None:
    """Wait until only those are left in the group who live."""
    end = time.monotonic() + CONSUMERS_S
    while True:
        found: Any = scene.redis.admin("XINFO", "CONSUMERS", scene.job.stream, GROUP)
        if len(found) <= len(scene.workers):
            return
        if time.monotonic() > end:
            ledger.broken.append(f"{len(found)} consumers are left of {len(scene.workers)} workers")
            return
        time.sleep(0.5)


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run and return the report."""
    ledger, began = Ledger(), time.monotonic()
    keys = {"claimIdleMs": 1000, "batchSize": 64, "maxDeliveries": 50 if arguments.harsh else 20}
    with Scene.make(folder, durable=True, job="chaos", keys=keys) as scene:
        scene.redis.admin("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        if arguments.harsh:
            scene.redis.admin("CONFIG", "SET", "key-load-delay", "-3")  # loading takes its time
        scene.redis.admin("CONFIG", "REWRITE")
        for number in range(arguments.workers):
            scene.start_worker(number + 1)
        scene.await_ready(scene.workers[0])
        killer = Killer(scene, arguments.seed, arguments.records / (arguments.faults + 1), harsh=arguments.harsh)
        over = threading.Event()
        sending = _harsh if arguments.harsh else _plain
        with sending(scene, arguments, ledger) as (senders, check):
            everybody = threading.Thread(target=_send_all, args=(senders, ledger, over), name="senders")
            everybody.start()
            for done in killer.until(over, lambda: ledger.right + ledger.errors.total()):
                check_bytes(scene, ledger)
                told = f"{done} of {arguments.records} records have come back, {killer.kills.total()} faults"
                sys.stderr.write(f"\r{told} ")
                sys.stderr.flush()
            everybody.join()
            sys.stderr.write("\n")
            seconds = time.monotonic() - began
            if arguments.harsh:
                check_consumers(scene, ledger)
            held = [{"rss_kib": resident_kib(each.process.pid), "files": open_files(each.process.pid)}
                    for each in scene.workers]  # fmt: skip
            drains = [*killer.drains_s, *(each.end() for each in scene.workers)]
            check()
    if max(drains) > DRAIN_S:
        ledger.broken.append(f"a worker took {max(drains):.1f} s to end")
    return {
        "records": arguments.records, "seed": arguments.seed, "seconds": round(seconds, 1), "right": ledger.right,
        "errors": dict(ledger.errors), "faults": dict(killer.kills), "workers": held,
        "longest_drain_s": round(max(drains), 1), "broken": ledger.broken[:50], "broken_count": len(ledger.broken),
    }  # fmt: skip


Senders: TypeAlias = "list[Callable[[], None]]"


@contextmanager
def _plain(scene: Scene, arguments: argparse.Namespace, ledger: Ledger) -> Iterator[tuple[Senders, Callable[[], None]]]:
    shares = [range(arguments.records)[start :: arguments.senders] for start in range(arguments.senders)]
    yield [partial(send, scene, share, ledger) for share in shares], partial(after, scene, ledger, arguments.records)


@contextmanager
def _harsh(scene: Scene, arguments: argparse.Namespace, ledger: Ledger) -> Iterator[tuple[Senders, Callable[[], None]]]:
    """Every way in at once: a twentieth by HTTP, a quarter by coroutines, a quarter killed; and a second job."""
    total = arguments.records
    http = range(total)[0::20]
    left = [number for number in range(total) if number % 20]
    coroutines, killed, plain = left[0::4], left[1::4], [*left[2::4], *left[3::4]]
    other, others = scene.neighbour(Job("other")), Ledger()
    other.await_ready(other.start_worker(1))
    front = scene.start_front()
    second = range(max(total // 20, 1))

    def check() -> None:
        after(scene, ledger, total, http)
        other.stop_workers()
        after(other, others, len(second))
        ledger.broken += [f"the second job: {each}" for each in others.broken]

    senders: Senders = [
        partial(send, scene, plain, ledger), partial(send_by_coroutines, scene, coroutines, ledger),
        partial(send_and_be_killed, scene, killed, ledger), partial(send_by_http, front, http, ledger),
        partial(send, other, second, others),
    ]  # fmt: skip
    try:
        yield senders, check
    finally:
        other.stop_workers()


def _send_all(senders: Senders, ledger: Ledger, over: threading.Event) -> None:
    try:
        with ThreadPoolExecutor(len(senders)) as pool:
            for each in [pool.submit(sender) for sender in senders]:
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
    parser.add_argument("--harsh", action="store_true", help="more kinds of faults, of senders, and a second job")
    arguments = parser.parse_args()
    sys.stderr.write(f"seed {arguments.seed}\n")
    with tempfile.TemporaryDirectory(prefix="strongroom-queue-") as folder:
        report = run(arguments, arguments.keep or Path(folder) / "scene")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if report["broken_count"] else 0


if __name__ == "__main__":
    sys.exit(main())
