"""Serialised tf.Examples for the inputs of a graph that parses them (Classify, Regress): what it asks for, at random.

Which features a graph wants is in the operation that parses: names as constants, types and shapes as attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from strongroom.bundles.conversion import loaded, random_inputs, tools
from strongroom.bundles.conversion.signatures import ModelSignature

_PARSERS: Final = frozenset({"ParseExample", "ParseExampleV2"})
_ONE: Final = 1


def string_sources(model: loaded.Loaded, signature: ModelSignature) -> random_inputs.Strings:
    """Return how to draw the strings of each input that is parsed as tf.Examples."""
    found = {}
    for alias, port in signature.inputs.items():
        if port.dtype != "string":
            continue
        consumers = model.graph.get_tensor_by_name(port.tensor).consumers()
        parser = next((operation for operation in consumers if operation.type in _PARSERS), None)
        if parser is not None:
            found[alias] = _drawer(_dense_features(model, parser))
    return found


def _dense_features(model: loaded.Loaded, parser: Any) -> list[tuple[str, str, int]]:  # noqa: ANN401  # an operation
    """Return name, type and number of values of every dense feature."""
    if parser.type == "ParseExample":
        first = 2 + parser.get_attr("Nsparse")
        tensors = list(parser.inputs)[first : first + parser.get_attr("Ndense")]
        names = [model.session.run(tensor) for tensor in tensors]
    else:
        names = list(model.session.run(parser.inputs[3]))
    kinds = [kind.name for kind in parser.get_attr("Tdense")]
    sizes = [_count(shape) for shape in parser.get_attr("dense_shapes")]
    return [(name.decode(), kind, size) for name, kind, size in zip(names, kinds, sizes, strict=True)]


def _count(shape: Any) -> int:  # noqa: ANN401
    sizes = tools.tensorflow().TensorShape(shape).as_list()
    return int(np.prod([size or _ONE for size in sizes])) if sizes else _ONE


def _drawer(features: list[tuple[str, str, int]]) -> Callable[[np.random.Generator], bytes]:
    train = tools.tensorflow().train

    def draw(entropy: np.random.Generator) -> bytes:
        example = train.Example()
        for name, kind, size in features:
            feature = example.features.feature[name]
            if kind == "string":
                feature.bytes_list.value.extend(random_inputs.word(entropy) for _ in range(size))
            elif kind == "int64":
                feature.int64_list.value.extend(int(value) for value in entropy.integers(10, size=size))
            else:
                feature.float_list.value.extend(entropy.standard_normal(size).tolist())
        serialised: bytes = example.SerializeToString(deterministic=True)
        return serialised

    return draw
