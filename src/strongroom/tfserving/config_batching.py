"""BatchingParameters: the text file that `--batching_parameters_file` names, and `batching_params.pbtxt` of a version.

Source: spec `model-server.md` section 6 (defaults, rules and texts).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from strongroom.errors import BadInput
from strongroom.tfserving.config import parse_text
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import BatchingParameters

FILE_OF_A_VERSION: Final = "batching_params.pbtxt"
DEFAULT_POOL_NAME: Final = "model_server_batch_threads"
_MAX_ROWS: Final = 2**31 - 1
_MAX_THREADS: Final = 1024
_MAX_TIMEOUT_US: Final = 3600 * 10**6


class BadBatching(BadInput):
    """Batching parameters contradict each other."""

    code = "SR-SERVER-BATCHING"
    fix = "Compare the file with BatchingParameters in TensorFlow Serving's guide to batching."


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingSettings:
    """How requests are joined. Batch sizes count rows: the requests' sizes in dimension 0."""

    max_batch_size: int = 1000
    batch_timeout_s: float = 0.0  # how long the first request of a batch waits for others
    max_enqueued_batches: int = 10
    num_batch_threads: int = 1
    thread_pool_name: str = DEFAULT_POOL_NAME
    allowed_batch_sizes: tuple[int, ...] = ()  # increasing; batches are padded up to the next
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 1000  # max_batch_size where requests are not split

    def padded(self, rows: int) -> int:
        """Return how many rows the engine gets for a batch of `rows`."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def parse_batching(data: bytes, *, file: str, cpus: int) -> BatchingSettings:
    """Return the settings of a text file; `cpus` threads are the default. Raises BadConfigText, BadBatching."""
    return _settings(parse_text(BatchingParameters, data, file=file), cpus)


def default_batching(*, cpus: int) -> BatchingSettings:
    """Return what `--enable_batching` means without a file."""
    return BatchingSettings(num_batch_threads=max(1, cpus))


def with_pool_of(settings: BatchingSettings, general: BatchingSettings) -> BatchingSettings:
    """Return a version's own settings with the threads of the server's (`--enable_per_model_batching_parameters`)."""
    return BatchingSettings(**{
        **{name: getattr(settings, name) for name in BatchingSettings.__slots__},
        "num_batch_threads": general.num_batch_threads, "thread_pool_name": general.thread_pool_name,
    })  # fmt: skip


def _settings(message: ProtoMessage, cpus: int) -> BatchingSettings:
    max_batch = _number(message, "max_batch_size", 1000, 1, _MAX_ROWS)
    splitting = message.enable_large_batch_splitting.value
    if message.HasField("max_execution_batch_size") and not splitting:
        raise BadBatching("max_execution_batch_size needs enable_large_batch_splitting")
    max_execution = _number(message, "max_execution_batch_size", max_batch, 1, _MAX_ROWS)
    if max_execution > max_batch:
        raise BadBatching(
            f"max_execution_batch_size should be less than or equal to max_batch_size; "
            f"max_execution_batch_size was {max_execution}, max_batch_size was {max_batch}"
        )
    return BatchingSettings(
        max_batch_size=max_batch,
        batch_timeout_s=_number(message, "batch_timeout_micros", 0, 0, _MAX_TIMEOUT_US) / 1e6,
        max_enqueued_batches=_number(message, "max_enqueued_batches", 10, 1, _MAX_ROWS),
        num_batch_threads=_number(message, "num_batch_threads", max(1, cpus), 1, _MAX_THREADS),
        thread_pool_name=message.thread_pool_name.value or DEFAULT_POOL_NAME,
        allowed_batch_sizes=_allowed(tuple(message.allowed_batch_sizes), max_execution, splitting=splitting),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        enable_large_batch_splitting=splitting,
        max_execution_batch_size=max_execution,
    )


def _number(message: ProtoMessage, name: str, default: int, low: int, high: int) -> int:
    value: int = getattr(message, name).value if message.HasField(name) else default
    if not low <= value <= high:
        raise BadBatching(f"{name} must be between {low} and {high}; was {value}")
    return value


def _allowed(sizes: tuple[int, ...], expected: int, *, splitting: bool) -> tuple[int, ...]:
    if not sizes:
        return ()
    if sizes[0] < 1 or any(low >= high for low, high in pairwise(sizes)):
        raise BadBatching("allowed_batch_sizes entries must be monotonically increasing")
    if sizes[-1] != expected:
        limit = "max_execution_batch_size" if splitting else "max_batch_size"
        raise BadBatching(
            f"Last entry in allowed_batch_sizes must match {limit}; last entry was {sizes[-1]}; expected {expected}"
        )
    return sizes
