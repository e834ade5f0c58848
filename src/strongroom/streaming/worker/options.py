"""How one worker works: values only, with the defaults of spec `cluster-serving.md` section 2. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.clusterserving.names import Job

MIN_CLAIM_IDLE_MS: Final = 5_000
CLAIM_IDLE_BATCHES: Final = 3  # so many of the slowest batches may pass before a record counts as abandoned


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker may be told. `batch_size`: the most records read at once and run together.

    `batch_wait_us`: how long a batch that is not full waits for more. `claim_idle_ms`: a record that nobody touched for
    so long is taken from its worker; None measures it. `max_deliveries`: how often a record is tried before it is
    poisoned. `forget_ms`: a consumer of another worker that holds nothing and was not heard of for so long is removed.
    `default_deadline_ms`: counted from a record's arrival, 0 for none. `parallelism`: batches that may be in
    the engine at once. `threads`: of each, as the operator knows them.
    """

    job: Job
    consumer: str
    batch_size: int = 32
    batch_wait_us: int = 0
    block_ms: int = 200
    claim_idle_ms: int | None = None
    max_deliveries: int = 3
    default_deadline_ms: int = 0
    parallelism: int = 1
    threads: int = 1
    require_sealed: bool = False
    drain_s: float = 30.0
    forget_ms: int = 20_000
    heartbeat_s: float = 3.0
