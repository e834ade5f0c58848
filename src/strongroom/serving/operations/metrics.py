"""What the server counts: TensorFlow Serving's metrics under their own names, then Strongroom's.

Labels never carry what a peer sent: a model's name is a label only if this server was configured with it. Cells are
bounded by configuration, not by traffic. Every method may be called from any thread.
Source: spec `model-server.md` section 9; the text is Prometheus' exposition format 0.0.4.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from strongroom.serving.operations.metrics_text import Cell, Family, Kind, Labels, exposition
from strongroom.tfserving.codes import Code

_LATENCY: Final = tuple(10 * 1.8**n for n in range(33))  # microseconds
_EXAMPLES: Final = tuple(float(2**n) for n in range(15))
_SIZES: Final = tuple(float(2**n) for n in range(13))
Reading: TypeAlias = Callable[[], Iterable[tuple[Labels, float]]]

_PREFIX: Final = "/tensorflow/serving/"
_REQUESTS: Final = _PREFIX + "request_count"
_LATENCIES: Final = _PREFIX + "request_latency"
_RUNTIMES: Final = _PREFIX + "runtime_latency"
_EXAMPLE_COUNTS: Final = _PREFIX + "request_example_counts"
_EXAMPLE_TOTAL: Final = _PREFIX + "request_example_count_total"
_WARMUPS: Final = _PREFIX + "model_warmup_latency"
_WARMUP_RECORDS: Final = _PREFIX + "model_warmup_records_read"
_MLMD: Final = _PREFIX + "mlmd_map"
_BATCHES: Final = "strongroom_batch_size"


@dataclass(slots=True)
class _Histogram:
    """Cumulative only when printed: one addition for each observation."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._models: frozenset[str] = frozenset()
        self._counters: dict[str, dict[Labels, list[float]]] = {
            _REQUESTS: {}, _EXAMPLE_TOTAL: {}, _WARMUP_RECORDS: {}
        }  # fmt: skip
        self._histograms: dict[str, tuple[tuple[float, ...], dict[Labels, _Histogram]]] = {
            _LATENCIES: (_LATENCY, {}), _RUNTIMES: (_LATENCY, {}), _EXAMPLE_COUNTS: (_EXAMPLES, {}),
            _WARMUPS: (_LATENCY, {}), _BATCHES: (_SIZES, {}),
        }  # fmt: skip
        self._handles: dict[tuple[str, str, str], tuple[list[float], _Histogram]] = {}  # of requests that ended well
        self._run_handles: dict[tuple[str, str, str], tuple[_Histogram, _Histogram]] = {}  # of runs of an engine
        self._mlmd: dict[tuple[str, int], str] = {}
        self._gauges: dict[str, Reading] = {}

    def set_models(self, names: Iterable[str]) -> None:
        """Say which models are configured: only their names become labels. Names that were known stay known."""
        self._models |= frozenset(names)

    def count_request(self, model: str, status: Code) -> None:
        """Count a request by its outcome; a model that is not configured counts under the empty name."""
        self._count(_REQUESTS, (("model_name", self._label(model)), ("status", status.name)))

    def answered(self, model: str, api: str, entrypoint: str, microseconds: float) -> None:
        """Count a request that ended well and note how long it took: both in one call, for the hot path."""
        handles = self._handles.get((model, api, entrypoint))
        if handles is None:
            handles = self._handles_of(model, api, entrypoint)
        count, histogram = handles
        with self._lock:
            count[0] += 1
            histogram.add(microseconds)

    def ran(self, model: str, api: str, runtime: str, microseconds: float, requests: int) -> None:
        """Note how long the engine ran, and how many requests that answered."""
        handles = self._run_handles.get((model, api, runtime))
        if handles is None:
            handles = self._run_handles_of(model, api, runtime)
        times, sizes = handles
        with self._lock:
            times.add(microseconds)
            sizes.add(requests)

    def observe_request(self, model: str, api: str, entrypoint: str, microseconds: float) -> None:
        """Note how long a request took that ended well, from its last byte to its answer's first."""
        labels = (("model_name", self._label(model)), ("API", api), ("entrypoint", entrypoint))
        self._observe(_LATENCIES, labels, microseconds)

    def count_examples(self, model: str, count: int) -> None:
        """Count the examples of a request."""
        labels = (("model", self._label(model)),)
        self._observe(_EXAMPLE_COUNTS, labels, count)
        self._count(_EXAMPLE_TOTAL, labels, count)

    def observe_warmup(self, path: str, status: Code, microseconds: float) -> None:
        """Note how long a version's warm-up took."""
        self._observe(_WARMUPS, (("model_path", path), ("status", status.name)), microseconds)

    def count_warmup_records(self, path: str, status: Code, count: int) -> None:
        """Count the warm-up records that were read."""
        self._count(_WARMUP_RECORDS, (("model_path", path), ("status", status.name)), count)

    def set_mlmd(self, model: str, version: int, uuid: str) -> None:
        """Note the ML Metadata identifier that a version carries."""
        with self._lock:
            self._mlmd[model, version] = uuid

    def gauge(self, name: str, reading: Reading) -> None:
        """Show what `reading` returns whenever somebody asks; `name` is one of ours (strongroom_…)."""
        self._gauges[name] = reading

    def shown(self, name: str) -> float:
        """Return what a gauge shows now, all its cells together; 0 for one that nobody set up."""
        reading = self._gauges.get(name)
        return sum(value for _, value in reading()) if reading is not None else 0.0

    def value(self, registry_name: str) -> int:
        """Return the first cell of a counter by its registry name (`/tensorflow/serving/request_count`), or 0."""
        with self._lock:
            return int(next(iter(self._counters.get(registry_name, {}).values()), [0.0])[0])

    def families(self) -> list[Family]:
        """Return everything that was counted; `metrics_text` sums and prints it."""
        with self._lock:
            found = [
                Family(name, Kind.COUNTER, tuple(Cell(labels, cell[0]) for labels, cell in cells.items()))
                for name, cells in self._counters.items()
            ]
            for name, (bounds, histograms) in self._histograms.items():
                cells = tuple(Cell(k, h.total, tuple(h.counts), bounds) for k, h in histograms.items())
                found.append(Family(name, Kind.HISTOGRAM, cells))
            mlmd = [
                Cell((("model_name", model), ("version", str(version)), ("uuid", uuid)), 1.0)
                for (model, version), uuid in self._mlmd.items()
            ]
        found.append(Family(_MLMD, Kind.GAUGE, tuple(mlmd)))
        for name, reading in list(self._gauges.items()):
            found.append(Family(name, Kind.GAUGE, tuple(Cell(labels, value) for labels, value in reading())))
        return found

    def text(self) -> str:
        """Return the metrics as Prometheus reads them."""
        return exposition(self.families())

    def _label(self, model: str) -> str:
        return model if model in self._models else ""

    def _count(self, name: str, labels: Labels, by: float = 1) -> None:
        with self._lock:
            self._counters[name].setdefault(labels, [0.0])[0] += by

    def _observe(self, name: str, labels: Labels, value: float) -> None:
        with self._lock:
            self._histogram(name, labels).add(value)

    def _handles_of(self, model: str, api: str, entrypoint: str) -> tuple[list[float], _Histogram]:
        """Return the two cells of a kind of request; remembered for configured models, so their number is bounded."""
        name = self._label(model)
        labels = (("model_name", name), ("API", api), ("entrypoint", entrypoint))
        bounds, histograms = self._histograms[_LATENCIES]
        with self._lock:
            count = self._counters[_REQUESTS].setdefault((("model_name", name), ("status", Code.OK.name)), [0.0])
            found = count, histograms.setdefault(labels, _Histogram(bounds))
            if name:
                self._handles[model, api, entrypoint] = found
        return found

    def _run_handles_of(self, model: str, api: str, runtime: str) -> tuple[_Histogram, _Histogram]:
        """Return the two cells of a kind of run; remembered as those above."""
        name = ("model_name", self._label(model))
        with self._lock:
            times = self._histogram(_RUNTIMES, (name, ("API", api), ("runtime", runtime)))
            found = times, self._histogram(_BATCHES, (name,))
            if name[1]:
                self._run_handles[model, api, runtime] = found
        return found

    def _histogram(self, name: str, labels: Labels) -> _Histogram:
        """Return a cell; the caller has the lock."""
        bounds, histograms = self._histograms[name]
        histogram = histograms.get(labels)
        if histogram is None:
            histogram = histograms[labels] = _Histogram(bounds)
        return histogram


def states_reading(statuses: Callable[[], Mapping[str, Iterable[tuple[int, str]]]]) -> Reading:
    """Return a gauge's reading: one cell a version, labelled with its state."""

    def read() -> Iterable[tuple[Labels, float]]:
        for model, versions in statuses().items():
            for version, state in versions:
                yield (("model_name", model), ("version", str(version)), ("state", state)), 1.0

    return read
