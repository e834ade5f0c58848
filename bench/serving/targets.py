"""The targets: ratios within one run, each from the cells that it compares; None where one of them is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from harness import meets
from serving.fronts import BEST, MLSERVER, OURS, REFERENCE, TRITON
from serving.models import IMAGE, JSON, JSON_IMAGE, TINY
from serving.parts import ENGINE, IN_TURNS, OBVIOUS, RECEIVE, Cell, Findings
from serving.tls_files import Transport

C, CFFI = OURS[0].title, OURS[1].title
PLAIN, TLS = Transport.PLAIN.value, Transport.TLS.value


@dataclass(frozen=True)
class Target:
    """A ratio or a size, what it should be, and whether it is; both None where it was not measured."""

    measure: str
    unit: str
    target: str
    value: float | None

    @property
    def holds(self) -> bool | None:
        """Whether the target is met."""
        return None if self.value is None else meets(self.value, self.target)


CPU_RATIOS: Final = (  # what is divided by what: requests per CPU-second of the first over the second
    ("half_plus_two, TLS: C codec / grpcio sync", (TINY, TLS, C), (TINY, TLS, REFERENCE.title), ">= 5"),
    ("half_plus_two, TLS: nothing compiled / grpcio sync", (TINY, TLS, CFFI), (TINY, TLS, REFERENCE.title), ">= 3"),
    ("half_plus_two: TLS / MLServer plaintext", (TINY, TLS, C), (TINY, PLAIN, MLSERVER.title), ">= 10"),
    ("half_plus_two: TLS / Triton plaintext", (TINY, TLS, C), (TINY, PLAIN, TRITON.title), ">= 6"),
    ("150k floats as JSON, TLS: one list / orjson + numpy", (JSON, TLS, BEST.title), (JSON, TLS, OBVIOUS), ">= 4"),
    ("the same, an image / orjson + numpy", (JSON_IMAGE, TLS, BEST.title), (JSON_IMAGE, TLS, OBVIOUS), ">= 4"),
    ("602 KB, TLS: C codec / grpcio sync", (IMAGE, TLS, C), (IMAGE, TLS, REFERENCE.title), ">= 2.5"),
)


def targets(findings: Findings) -> Iterator[Target]:
    """Yield every target with its value."""

    def cpu_us(model: str, transport: str, server: str) -> float | None:
        found = findings.cells.get(Cell(model, transport, server))
        return found.cpu_us if found else None

    for measure, (model, transport, server), (other_model, other_transport, other), wanted in CPU_RATIOS:
        mine, theirs = cpu_us(model.name, transport, server), cpu_us(other_model.name, other_transport, other)
        yield Target(measure, "x", wanted, _rounded(theirs / mine if mine and theirs else None))
    receive, engine, served = (
        cpu_us(IMAGE.name, TLS, RECEIVE), cpu_us(IMAGE.name, "", ENGINE), cpu_us(IMAGE.name, TLS, IN_TURNS)
    )  # fmt: skip
    floor = (receive + engine) / served if receive and engine and served else None
    yield Target("602 KB, TLS: floor (receive + engine) / served CPU", "x", ">= 0.8", _rounded(floor))
    share = findings.saturation.share if findings.saturation else None
    yield Target("ResNet50, mTLS, saturated: images/s / in process", "x", ">= 0.95", _rounded(share))
    above = findings.memory.above_mb if findings.memory else None
    yield Target("replica with ResNet50: resident memory above the engine's own", "MB", "<= 100", _rounded(above))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
