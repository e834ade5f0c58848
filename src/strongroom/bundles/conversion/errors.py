"""What a conversion refuses, and what to do about it."""

from __future__ import annotations

from strongroom.errors import BadInput, Refused


class NotConvertible(BadInput):
    """A source is no model of a known kind, or uses something that the result cannot express."""

    code = "SR-NOT-CONVERTIBLE"
    fix = "Give a frozen GraphDef (.pb), the version folder of a SavedModel, or a Keras file (.keras, .h5)."


class ModelRunsCode(Refused):
    """A model carries code, or reaches files, so that converting it would run what somebody else wrote."""

    code = "SR-MODEL-RUNS-CODE"
    fix = "Rebuild the model from layers and operations of the framework itself, or export it where you trust its code."


class ModelTooLarge(BadInput):
    """A model is larger than the file format that it was to be written in allows."""

    code = "SR-MODEL-TOO-LARGE"
    fix = "Keep it a SavedModel with variables (--format saved_model), which has no such limit, or split it."


class SignatureChoice(BadInput):
    """A signature that was named is not there, or several of them do not fit into one file."""

    code = "SR-SIGNATURE-CHOICE"
    fix = "Name the signatures that belong together with --signature NAME, each group in an export folder of its own."


class ConversionDiffers(BadInput):
    """The result does not compute what the source computes; nothing was written."""

    code = "SR-CONVERSION-DIFFERS"
    fix = "Do not serve it: convert with another --opset, or report the model; --tolerance only widens what you accept."


class ConversionUnproved(BadInput):
    """The source cannot be run on the inputs chosen, so that nothing can be compared; nothing was written."""

    code = "SR-CONVERSION-UNPROVED"
    fix = "Give inputs of the real kind with --check-inputs FILE.npz, and --random-checks 0 if only they make sense."


class BadCheckInputs(BadInput):
    """Inputs supplied for the comparison cannot be read, or do not fit the model's signature."""

    code = "SR-CHECK-INPUTS"
    fix = "Save a dictionary of arrays, one for each input: numpy.savez('inputs.npz', input=array)."
