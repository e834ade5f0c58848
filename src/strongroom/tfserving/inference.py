"""Which signatures classify or regress, and their outputs as ClassificationResult and RegressionResult.

Source: spec `model-server.md` section 3, Classify / Regress. The order of the checks and the texts are part of the
interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from google.protobuf import text_format

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import Array, DataType
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import ClassificationResult, RegressionResult
from strongroom.tfserving.signatures import CLASSIFY_METHOD, REGRESS_METHOD, Signature, definition_of

INPUTS: Final = "inputs"
CLASSES: Final = "classes"
SCORES: Final = "scores"
OUTPUTS: Final = "outputs"

Results: TypeAlias = Mapping[str, tuple[DataType, Array]]


class BadInference(BadInput):
    """A signature, or what it returned, does not fit classification or regression."""

    code = "SR-INFERENCE"
    fix = "Use predict, or a signature that was exported for this method."


def classification_outputs(signature: Signature, *, check_method: bool) -> Sequence[str]:
    """Return the outputs to compute for classification. Raises BadInference."""
    if check_method and signature.method != CLASSIFY_METHOD:
        raise BadInference(_method_text("classification", CLASSIFY_METHOD, signature))
    if len(signature.inputs) != 1:
        raise BadInference("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise BadInference(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise BadInference(f"No classification inputs found in SignatureDef: {_signature_text(signature)}")
    found = [name for name in (CLASSES, SCORES) if name in signature.outputs]
    if not found:
        raise BadInference(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {_signature_text(signature)}"
        )
    return found


def regression_outputs(signature: Signature, *, check_method: bool) -> Sequence[str]:
    """Return the outputs to compute for regression. Raises BadInference."""
    if check_method and signature.method != REGRESS_METHOD:
        raise BadInference(_method_text("regression", REGRESS_METHOD, signature))
    if len(signature.inputs) != 1:
        raise BadInference("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise BadInference("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise BadInference(f"No regression inputs found in SignatureDef: {_signature_text(signature)}")
    if OUTPUTS not in signature.outputs:
        raise BadInference(f"No regression outputs found in SignatureDef: {_signature_text(signature)}")
    return [OUTPUTS]


def classification_result(outputs: Results, examples: int) -> ProtoMessage:
    """Return a ClassificationResult: for each example its labels and scores. Raises BadInference."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    for name, found, wanted in ((CLASSES, classes, DataType.DT_STRING), (SCORES, scores, DataType.DT_FLOAT)):
        if found is not None:
            _check_matrix(name, *found, wanted, examples)
    if classes is not None and scores is not None and classes[1].shape[1] != scores[1].shape[1]:
        raise BadInference(
            f"Tensors class and score should match in dim_size(1). Got {classes[1].shape[1]} vs. {scores[1].shape[1]}"
        )
    width = next((found[1].shape[1] for found in (classes, scores) if found is not None), 0)
    labels = classes[1].tolist() if classes is not None else [[b""] * width] * examples
    numbers = scores[1].tolist() if scores is not None else [[0.0] * width] * examples
    result = ClassificationResult()
    for row_labels, row_scores in zip(labels, numbers, strict=True):
        row = result.classifications.add()
        for label, score in zip(row_labels, row_scores, strict=True):
            row.classes.add(label=_text(label), score=score)
    return result


def regression_result(outputs: Results, examples: int) -> ProtoMessage:
    """Return a RegressionResult: a value for each example. Raises BadInference."""
    dtype, array = outputs[OUTPUTS]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise BadInference(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if array.shape[0] != examples:
        raise BadInference(f"Input batch size did not match output batch size: {examples} vs. {array.shape[0]}")
    if dtype is not DataType.DT_FLOAT:
        raise BadInference(f"Expected output Tensor of DT_FLOAT.  Got: {dtype.name}")
    result = RegressionResult()
    for value in np.ravel(array).tolist():
        result.regressions.add(value=value)
    return result


def _check_matrix(name: str, dtype: DataType, array: Array, wanted: DataType, examples: int) -> None:
    if array.ndim != 2:
        raise BadInference(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if dtype is not wanted:
        raise BadInference(f"Expected {name} Tensor of {wanted.name}. Got: {dtype.name}")
    if array.shape[0] != examples:
        raise BadInference(f"Expected {name} output batch size of {examples}. Got: {array.shape[0]}")


def _method_text(kind: str, wanted: str, signature: Signature) -> str:
    return f"Expected {kind} signature method_name to be {wanted}. Was: {signature.method}"


def _signature_text(signature: Signature) -> str:
    return text_format.MessageToString(definition_of(signature))


def _shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _text(label: object) -> str:
    """Return a label as a protobuf string can hold it."""
    raw = label if isinstance(label, bytes) else str(label).encode()
    return raw.decode("utf-8", "replace")
