"""ResNet50 over mutual TLS under full load, against the same engine called in process, in turns."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from serving.fronts import Front
from serving.load import ask
from serving.measure import Effort
from serving.models import RESNET50, session
from serving.tls_files import Transport

ROUNDS_PER_CPU_S: Final = 8  # many short rounds: a neighbour on the machine spoils some, not all


@dataclass(frozen=True)
class Saturation:
    """Images per second: each round's, served and in process one at a time; in process eight at a time for comparison.

    The client shares the machine with the server, and with nobody in process.
    """

    served: tuple[float, ...]
    in_process: tuple[float, ...]
    in_process_of_8: float

    @property
    def share(self) -> float:
        """The best of the served rounds over the best in process."""
        return max(self.served) / max(self.in_process)


def saturation(front: Front, folder: Path, effort: Effort) -> Saturation:
    """Measure in rounds. Raises PeerMissing."""
    loaded, count = session(RESNET50), 32
    served, alone = [], []
    with front.serving(RESNET50, Transport.MTLS, folder) as (_, target):
        ask(target, 16)
        for _ in range(int(ROUNDS_PER_CPU_S * effort.cpu_s)):
            alone.append(_rate(loaded, RESNET50.x, count))
            served.append(count / ask(target, count).wall_s)
        eight = _rate(loaded, np.repeat(RESNET50.x, 8, axis=0), count // 8)
    return Saturation(tuple(served), tuple(alone), 8 * eight)


def _rate(loaded: object, x: object, count: int) -> float:
    run = loaded.run  # type: ignore[attr-defined]  # an onnxruntime session, which has no types
    run(["y"], {"x": x})
    started = time.perf_counter()
    for _ in range(count):
        run(["y"], {"x": x})
    return count / (time.perf_counter() - started)
