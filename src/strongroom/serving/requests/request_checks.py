"""What a PredictRequest is checked for before anything runs, in TensorFlow Serving's order and words.

Pure. Source: spec `model-server.md` section 3, Predict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from strongroom.serving.status import BadRequest, UnexpectedMethod
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.predict_wire import WireTensor
from strongroom.tfserving.signatures import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD, Signature
from strongroom.tfserving.tensors import BadTensor, Limits, dtype_word

_METHODS: Final = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)


def check_method(signature: Signature) -> None:
    """Raise UnexpectedMethod unless the signature was exported to be predicted, classified or regressed with."""
    if signature.method not in _METHODS:
        raise UnexpectedMethod(
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. Was: {signature.method}"
        )


def check_names(sent: Iterable[str], signature: Signature) -> None:
    """Raise BadRequest unless the inputs that were sent, and the signature's defaults, are its inputs."""
    names, wanted = set(sent), set(signature.inputs)
    if len(names) > len(wanted) or (len(names) < len(wanted) and not signature.defaults):
        raise BadRequest(
            f"input size does not match signature: {len(names)}!={len(wanted)} len({_set(names)}) != "
            f"len({_set(wanted)}). Sent extra: {_set(names - wanted)}. Missing but required: {_set(wanted - names)}."
        )
    for name in sorted(wanted - names):
        if name not in signature.defaults:
            raise BadRequest(
                f"Signature input alias: {name}(feed name: {signature.inputs[name].name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {_set(names)}, or default input alias "
                f"set: {_joined(signature.defaults)}"
            )
    if names - wanted:
        raise BadRequest(
            f"Inputs contains invalid name. Used request inputs: {_joined(names & wanted)}, request input: "
            f"{_joined(names)}"
        )


def chosen_outputs(output_filter: Sequence[str], signature: Signature) -> list[str]:
    """Return the outputs to compute: those of the filter, or all. Raises BadRequest."""
    if not output_filter:
        return list(signature.outputs)
    seen: dict[str, None] = {}
    for name in output_filter:
        if name not in signature.outputs:
            raise BadRequest(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{_set(signature.outputs)}."
            )
        if name in seen:
            raise BadRequest(f"duplicate output tensor alias: {name}")
        seen[name] = None
    return list(seen)


def decoded_inputs(tensors: Mapping[str, WireTensor], signature: Signature, limits: Limits) -> dict[str, Array]:
    """Return the arrays to run on, defaults filled in. Raises BadRequest, BadTensor or UnsupportedType."""
    for index, (name, spec) in enumerate(signature.inputs.items()):
        if name in tensors and tensors[name].dtype != spec.dtype:
            sent = dtype_word(tensors[name].dtype)
            raise BadRequest(f"Expects arg[{index}] to be {spec.dtype.word} but {sent} is provided")
    arrays: dict[str, Array] = {}
    for name in signature.inputs:
        if name not in tensors:
            arrays[name] = signature.defaults[name]
            continue
        try:
            arrays[name] = tensors[name].array(limits)
        except BadTensor as problem:
            raise BadTensor(f"tensor parsing error: {name}: {problem.sentence}") from None
    return arrays


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _set(names: Iterable[str]) -> str:
    return f"{{{_joined(names)}}}"
