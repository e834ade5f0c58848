"""Random inputs for a signature: every type that clients can send, reproducible from a seed.

Pure: the caller passes the generator. Floats are standard normal; integers are small, since they are often indices into
tables of unknown length, but bytes use their whole range; strings are words, or tf.Examples where a graph parses such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion.errors import NotConvertible
from strongroom.bundles.conversion.signatures import ModelSignature, Port

BATCHES: Final = (1, 3)  # two sizes, so that a batch frozen inside a model is noticed
SIZES: Final = (4, 32, 224)  # tried in turn for other unknown sizes: windows and pictures have a least one
_INDEX_LIMIT: Final = 10
_WORDS: Final = (b"", b"a", b"strong", b"room", b"0", b"3.25", b"two words", b"UPPER", b"punctuation, too.")
String = Callable[[np.random.Generator], bytes]
Strings = Mapping[str, String]


def draw(
    signature: ModelSignature, entropy: np.random.Generator, *, batch: int, size: int, strings: Strings
) -> dict[str, NDArray[Any]]:
    """Return an array for each input by alias; `strings` draws those of an alias that are no plain words."""
    return {
        alias: _array(port, _shape(port, batch, size), entropy, strings.get(alias, word))
        for alias, port in sorted(signature.inputs.items())
    }


def has_free_batch(signature: ModelSignature) -> bool:
    """Tell whether the first size of some input is for the client to choose."""
    return any(port.shape is None or port.shape[:1] == (-1,) for port in signature.inputs.values())


def has_free_sizes(signature: ModelSignature) -> bool:
    """Tell whether a size after the first is for the client to choose."""
    return any(-1 in (port.shape or ())[1:] for port in signature.inputs.values())


def word(entropy: np.random.Generator) -> bytes:
    """Return a word."""
    return _WORDS[int(entropy.integers(len(_WORDS)))]


def _shape(port: Port, batch: int, size: int) -> tuple[int, ...]:
    if port.shape is None:
        return (batch,)
    return tuple(known if known >= 0 else (size if axis else batch) for axis, known in enumerate(port.shape))


def _array(port: Port, shape: tuple[int, ...], entropy: np.random.Generator, string: String) -> NDArray[Any]:
    if port.dtype == "string":
        return np.array([string(entropy) for _ in range(int(np.prod(shape)))], dtype=object).reshape(shape)
    if port.dtype == "bool":
        return entropy.integers(2, size=shape).astype(np.bool_)
    if port.dtype in {"int8", "uint8"}:
        limits = np.iinfo(port.dtype)
        return entropy.integers(limits.min, limits.max, size=shape, endpoint=True).astype(port.dtype)
    if port.dtype in {"int16", "int32", "int64", "uint16", "uint32", "uint64"}:
        return entropy.integers(_INDEX_LIMIT, size=shape).astype(port.dtype)
    if port.dtype in {"complex64", "complex128"}:
        return (entropy.standard_normal(shape) + 1j * entropy.standard_normal(shape)).astype(port.dtype)
    if port.dtype in {"float16", "bfloat16", "float32", "float64"}:
        return entropy.standard_normal(shape).astype(numpy_type(port.dtype))
    raise NotConvertible(f"{port.tensor} is {port.dtype}, which no client can send")


def numpy_type(name: str) -> np.dtype[Any]:
    """Return numpy's type; bfloat16 comes with TensorFlow's own package of types."""
    if name == "bfloat16":
        import ml_dtypes

        brain: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return brain
    return np.dtype(object if name == "string" else name)
