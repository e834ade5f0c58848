"""Look into a SavedModel without TensorFlow: its graphs' tags and signatures, from the bytes of `saved_model.pb`.

Pure. Source: spec `model-server.md` sections 2 (messages) and 7 (the MetaGraphDef whose tag set is asked for).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import Array, DataType, UnsupportedType, type_of_number
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import SavedModel, SignatureDef
from strongroom.tfserving.signatures import Signature, TensorSpec
from strongroom.tfserving.tensors import BadTensor, tensor_to_array

FILE: Final = "saved_model.pb"
INIT_SIGNATURE: Final = "__saved_model_init_op"  # how TensorFlow 2 stores the graph's initialisation; nobody calls it
MLMD_FILE: Final = "assets.extra/mlmd_uuid"
MAX_SIGNATURES: Final = 10_000
_REFERENCE: Final = 100  # DT_x_REF = DT_x + 100: a variable, which is read as its value


class BadSavedModel(BadInput):
    """The bytes are not a SavedModel, or it has no graph with the tags that are asked for."""

    code = "SR-SAVED-MODEL"
    fix = "Look at the model with TensorFlow's saved_model_cli, then export it again or give --saved_model_tags."


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaGraph:
    """One graph of a SavedModel: what it is tagged as and how it is called."""

    tags: frozenset[str]
    signatures: Mapping[str, Signature]


def meta_graph(data: bytes, tags: AbstractSet[str]) -> MetaGraph:
    """Return the graph whose tags are exactly `tags`. Raises BadSavedModel."""
    model = _parse(data)
    found = next((each for each in model.meta_graphs if set(each.meta_info_def.tags) == set(tags)), None)
    if found is None:
        raise BadSavedModel(
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(sorted(tags))} }}. To inspect "
            "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
        )
    if len(found.signature_def) > MAX_SIGNATURES:
        raise BadSavedModel(f"the graph has {len(found.signature_def)} signatures, at most {MAX_SIGNATURES}")
    signatures = {name: signature_of(found.signature_def[name]) for name in sorted(found.signature_def)}
    return MetaGraph(tags=frozenset(tags), signatures=signatures)


def tag_sets(data: bytes) -> list[frozenset[str]]:
    """Return the tags of each graph. Raises BadSavedModel."""
    return [frozenset(each.meta_info_def.tags) for each in _parse(data).meta_graphs]


def signature_of(definition: ProtoMessage) -> Signature:
    """Return a SignatureDef as a value; what cannot be sent is in its `definition` alone. Raises BadSavedModel."""
    own = SignatureDef()
    own.CopyFrom(definition)  # a part of a message keeps the whole of it in memory
    return Signature(
        inputs=_specs(own.inputs),
        outputs=_specs(own.outputs),
        method=own.method_name,
        defaults={name: _array(name, own.defaults[name]) for name in sorted(own.defaults)},
        definition=own,
    )


def _parse(data: bytes) -> ProtoMessage:
    try:
        model: ProtoMessage = SavedModel.FromString(data)
    except DecodeError:
        raise BadSavedModel(f"{len(data)} bytes are not a SavedModel, or only a part of one") from None
    if not model.meta_graphs:
        raise BadSavedModel("the SavedModel holds no graph")
    return model


def _specs(infos: Mapping[str, ProtoMessage]) -> dict[str, TensorSpec]:
    found = {}
    for alias in sorted(infos):  # a protobuf map has no order of its own
        kind = _kind(infos[alias].dtype)
        if kind is not None:
            found[alias] = TensorSpec(name=infos[alias].name, dtype=kind, shape=_shape(infos[alias].tensor_shape))
    return found


def _kind(number: int) -> DataType | None:
    try:
        return type_of_number(number - _REFERENCE if number > _REFERENCE else number)
    except UnsupportedType:
        return None


def _shape(shape: ProtoMessage) -> tuple[int, ...] | None:
    return None if shape.unknown_rank else tuple(_sizes(shape.dim))


def _sizes(dimensions: Iterable[ProtoMessage]) -> Iterable[int]:
    return (max(dimension.size, -1) for dimension in dimensions)


def _array(alias: str, tensor: ProtoMessage) -> Array:
    try:
        return tensor_to_array(tensor)
    except (BadTensor, UnsupportedType) as problem:
        raise BadSavedModel(f"the default of input {alias[:80]!r} cannot be used: {problem.sentence}") from None
