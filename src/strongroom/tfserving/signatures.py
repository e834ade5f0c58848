"""Signatures as values: what a model takes and gives, to and from SignatureDef."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from strongroom.tfserving.datatypes import Array, DataType, type_of_number
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import (
    SIGNATURE_DEF_TYPE_URL,
    AnyMessage,
    BadMessage,
    SignatureDef,
    SignatureDefMap,
    parse,
)

DEFAULT_SIGNATURE: Final = "serving_default"
PREDICT_METHOD: Final = "tensorflow/serving/predict"
CLASSIFY_METHOD: Final = "tensorflow/serving/classify"
REGRESS_METHOD: Final = "tensorflow/serving/regress"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A named input or output: `name` is the tensor's name in the graph; -1 is a free size, None an unknown rank."""

    name: str
    dtype: DataType
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A way to call a model: specs by the names that requests use, in the order the engine is fed.

    `defaults` are inputs that a request may leave out. `definition` is the SignatureDef that the model came with, for
    those who ask for metadata: it may describe tensors that cannot be sent.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str = PREDICT_METHOD
    defaults: Mapping[str, Array] = field(default_factory=dict, compare=False)
    definition: ProtoMessage | None = field(default=None, compare=False)


def signatures_to_any(signatures: Mapping[str, Signature]) -> ProtoMessage:
    """Return the Any that GetModelMetadata answers under `signature_def`."""
    listed = SignatureDefMap()
    for name, signature in signatures.items():
        listed.signature_def[name].CopyFrom(definition_of(signature))
    return AnyMessage(type_url=SIGNATURE_DEF_TYPE_URL, value=listed.SerializeToString(deterministic=True))


def definition_of(signature: Signature) -> ProtoMessage:
    """Return a signature as SignatureDef: the model's own, if it came with one."""
    if signature.definition is not None:
        return signature.definition
    definition = SignatureDef(method_name=signature.method)
    for side in ("inputs", "outputs"):
        for key, spec in getattr(signature, side).items():
            _fill_info(getattr(definition, side)[key], spec)
    return definition


def signatures_from_any(packed: ProtoMessage) -> dict[str, Signature]:
    """Return the signatures of a GetModelMetadata answer. Raises BadMessage, or UnsupportedType for a tensor's type."""
    if packed.type_url != SIGNATURE_DEF_TYPE_URL:
        raise BadMessage(f"the metadata holds {packed.type_url[:80]!r}, not signatures")
    listed = parse(SignatureDefMap, packed.value)
    return {
        name: Signature(
            inputs={key: _spec_of(info) for key, info in each.inputs.items()},
            outputs={key: _spec_of(info) for key, info in each.outputs.items()},
            method=each.method_name,
        )
        for name, each in listed.signature_def.items()
    }


def _fill_info(info: ProtoMessage, spec: TensorSpec) -> None:
    info.name = spec.name
    info.dtype = spec.dtype
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
        return
    info.tensor_shape.SetInParent()
    for size in spec.shape:
        info.tensor_shape.dim.add(size=size)


def _spec_of(info: ProtoMessage) -> TensorSpec:
    shape = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(name=info.name, dtype=type_of_number(info.dtype), shape=shape)
