"""Conversion on the owner's side: a model becomes a servable SavedModel or ONNX file, and the result is proved.

Law of this folder: a model is data. None of its code runs, no file outside it is read, and nothing is written that has
not been compared with the source, output by output. TensorFlow is imported when a conversion runs, never before.
"""

from strongroom.bundles.conversion.comparison import DEFAULT_TOLERANCE, Difference
from strongroom.bundles.conversion.convert import FORMATS, ONNX, SAVED_MODEL, Order, Report, Result, convert
from strongroom.bundles.conversion.errors import (
    BadCheckInputs,
    ConversionDiffers,
    ConversionUnproved,
    ModelRunsCode,
    ModelTooLarge,
    NotConvertible,
    SignatureChoice,
)
from strongroom.bundles.conversion.frozen import INPUT_ALIAS, OUTPUT_ALIAS, aliases
from strongroom.bundles.conversion.onnx_writer import DEFAULT_OPSET, OPSETS
from strongroom.bundles.conversion.placeholders import FrozenOptions
from strongroom.bundles.conversion.proof import DEFAULT_SEED, Checks
from strongroom.bundles.conversion.signatures import ModelSignature, Port

__all__ = [
    "DEFAULT_OPSET",
    "DEFAULT_SEED",
    "DEFAULT_TOLERANCE",
    "FORMATS",
    "INPUT_ALIAS",
    "ONNX",
    "OPSETS",
    "OUTPUT_ALIAS",
    "SAVED_MODEL",
    "BadCheckInputs",
    "Checks",
    "ConversionDiffers",
    "ConversionUnproved",
    "Difference",
    "FrozenOptions",
    "ModelRunsCode",
    "ModelSignature",
    "ModelTooLarge",
    "NotConvertible",
    "Order",
    "Port",
    "Report",
    "Result",
    "SignatureChoice",
    "aliases",
    "convert",
]
