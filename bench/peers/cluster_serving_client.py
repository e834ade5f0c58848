"""Asks the original's server with the original's client, as published; prints what was measured as JSON.

Runs in .venv-original: cluster_serving_client.py PORT JOB RECORDS. Rates are from the first record sent to the last
result read. As the original's own throughput script does, the results are read when all records are sent.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import redirect_stdout
from multiprocessing import Process
from pathlib import Path
from typing import Any, Final

import numpy as np
from bigdl.serving.client import (  # type: ignore[import-not-found]  # in an environment of its own
    InputQueue,
    OutputQueue,
)

PORT, JOB, RECORDS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
WARM: Final = 500
PATIENCE_S: Final = 120.0
FLOATS: Final = np.array([1.0, 2.0, 3.0, 4.0])


def send(tag: str, count: int) -> None:
    queue = InputQueue(host="127.0.0.1", port=PORT, name=JOB)
    for number in range(count):
        queue.enqueue(f"{tag}-{number}", t=FLOATS)


def collect(queue: Any, count: int) -> None:  # noqa: ANN401  # a class without types
    end = time.perf_counter() + PATIENCE_S
    found = 0
    while found < count:
        results = queue.dequeue()
        for uri, result in results.items():
            if getattr(result, "shape", None) != (3,) or abs(result.sum() - 1) > 1e-5:
                raise SystemExit(f"{uri}: not a result of the model: {result}")
        found += len(results)
        if not results:
            if time.perf_counter() > end:
                raise SystemExit(f"{found} of {count} results after {PATIENCE_S:g} s")
            time.sleep(0.001)


def latencies_ms(queue: Any, count: int) -> list[float]:  # noqa: ANN401  # a class without types
    found = []
    for _ in range(count):
        began = time.perf_counter()
        if isinstance(queue.predict(FLOATS), str):
            raise SystemExit("predict: no result")
        found.append(1000 * (time.perf_counter() - began))
    return sorted(found)


def end_to_end(queue: Any, senders: int) -> dict[str, float]:  # noqa: ANN401  # a class without types
    share = RECORDS // senders
    count = share * senders
    processes = [Process(target=send, args=(f"sender{number}", share)) for number in range(senders)]
    began = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sent = time.perf_counter() - began
    collect(queue, count)
    seconds = time.perf_counter() - began
    return {"records": count, "seconds": seconds, "records_per_s": count / seconds, "enqueued_per_s": count / sent}


def server_alone(queue: Any, data: str) -> float:  # noqa: ANN401  # a class without types
    """Return the records a second when the client costs nothing: all records put into the stream at once."""
    pipe = queue.db.pipeline(transaction=False)
    for number in range(RECORDS):
        pipe.xadd(JOB, {"uri": f"bulk-{number}", "data": data})
    began = time.perf_counter()
    pipe.execute()
    last, end = f"cluster-serving_{JOB}:bulk-{RECORDS - 1}", began + PATIENCE_S
    while not queue.db.exists(last):
        if time.perf_counter() > end:
            raise SystemExit(f"no result of the last record after {PATIENCE_S:g} s")
        time.sleep(0.01)
    seconds = time.perf_counter() - began
    collect(queue, RECORDS)
    return RECORDS / seconds


def measured() -> dict[str, float]:
    inputs, outputs = (
        InputQueue(host="127.0.0.1", port=PORT, name=JOB),
        OutputQueue(host="127.0.0.1", port=PORT, name=JOB),
    )
    send("warm", WARM)
    collect(outputs, WARM)
    waited = latencies_ms(inputs, min(RECORDS, 500))
    one, four = end_to_end(outputs, 1), end_to_end(outputs, 4)
    alone = server_alone(outputs, inputs.data_to_b64(t=FLOATS))
    return {
        **one, "p50_ms": waited[len(waited) // 2], "p99_ms": waited[len(waited) * 99 // 100],
        "records_per_s_of_4_senders": four["records_per_s"], "records_per_s_without_client": alone,
        "answered": WARM + len(waited) + 3 * RECORDS,
    }  # fmt: skip


with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # the client tells of every record
    numbers = measured()
print(json.dumps(numbers))
