"""What a worker says of itself in Redis: which model, how many at once, what it takes, how it fares. Pure.

Clients learn the bounds of records from it, and what to seal to; `queue status` shows it. It holds no secret and no
client's name. Source: spec `cluster-serving.md` section 11.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from strongroom.clusterserving.limits import Limits
from strongroom.streaming.link.calls import Bounds
from strongroom.streaming.model.predictor import ModelIdentity
from strongroom.streaming.worker.counts import Counts
from strongroom.streaming.worker.options import WorkerOptions


def state_of(
    options: WorkerOptions, identity: ModelIdentity, counts: Counts, *, bounds: Bounds, limits: Limits, since_ms: int,
    ready: bool, facts: Mapping[str, Any],
) -> str:  # fmt: skip
    """Return the heartbeat's JSON. `facts`: the queue key's id, what was attested, whatever the runner knows."""
    return json.dumps(
        {
            "name": options.consumer,
            "model": identity.name,
            "version": identity.version,
            "digest": identity.digest,
            "ready": ready,
            "batch": options.batch_size,
            "threads": options.threads,
            "parallelism": options.parallelism,
            "mean_record_bytes": counts.mean_record_bytes,
            "served": counts.served,
            "errors": counts.errors,
            "since_ms": since_ms,
            "requires_sealed": options.require_sealed,
            "limits": {
                "records": bounds.max_records,
                "bytes": bounds.max_bytes,
                "record_bytes": min(bounds.max_record_bytes, limits.max_record_bytes),
            },
            **facts,
        },
        separators=(",", ":"),
    )
