"""The signatures of a model in conversion: names, types and shapes, and which of them go together.

Pure. Aliases are what clients say (`input`, `predict`); tensors are what the graph says (`input:0`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from strongroom.bundles.conversion.errors import SignatureChoice

PREDICT_METHOD: Final = "tensorflow/serving/predict"
SERVING_DEFAULT: Final = "serving_default"


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a signature: the tensor in the graph, numpy's name of its type, and its shape.

    A size of -1 is unknown; a shape of None is an unknown rank; strings have the type `string`.
    """

    tensor: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """One signature: its TensorFlow method name, and its inputs and outputs by alias."""

    method_name: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]

    def asks_like(self, other: ModelSignature) -> bool:
        """Tell whether both take inputs of the same names, types and shapes."""
        return _asked(self) == _asked(other)


def _asked(signature: ModelSignature) -> dict[str, tuple[str, tuple[int, ...] | None]]:
    return {alias: (port.dtype, port.shape) for alias, port in signature.inputs.items()}


Signatures = Mapping[str, ModelSignature]


def choose(signatures: Signatures, wanted: Sequence[str]) -> dict[str, ModelSignature]:
    """Return the signatures named, or all of them. Raises SignatureChoice."""
    missing = [name for name in wanted if name not in signatures]
    if missing or not signatures:
        named = ", ".join(sorted(signatures)) or "none"
        asked = f"no signature {missing[0]!r}" if missing else "no signature that can be served"
        raise SignatureChoice(f"the model has {asked}; it has: {named}")
    return {name: signature for name, signature in signatures.items() if not wanted or name in wanted}


def check_one_file(signatures: Signatures) -> None:
    """Raise SignatureChoice unless all `signatures` take the same inputs: an ONNX graph has one list of them."""
    first = SERVING_DEFAULT if SERVING_DEFAULT in signatures else min(signatures)
    for name in sorted(signatures):
        if not signatures[name].asks_like(signatures[first]):
            alike = [other for other in sorted(signatures) if signatures[other].asks_like(signatures[first])]
            raise SignatureChoice(
                f"the signature {name!r} takes other inputs ({describe(signatures[name])}) than {first!r} "
                f"({describe(signatures[first])}), and an ONNX file has one list of inputs",
                fix=f"Convert those that go together: {' '.join(f'--signature {other}' for other in alike)}; "
                "each other group goes into an export folder, and a model name, of its own.",
            )


def describe(signature: ModelSignature) -> str:
    """Return the inputs of a signature as a person reads them: `input float32[?,224,224,3]`."""
    return ", ".join(
        f"{alias} {port.dtype}{show_shape(port.shape)}" for alias, port in sorted(signature.inputs.items())
    )


def show_shape(shape: tuple[int, ...] | None) -> str:
    """Return a shape as text, unknown sizes as `?`."""
    return "[...]" if shape is None else f"[{','.join('?' if size < 0 else str(size) for size in shape)}]"
