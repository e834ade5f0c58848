"""The Input of Classify, Regress and MultiInference: serialised Examples, which a model parses itself.

Source: spec `model-server.md` section 2, Notes: a context and an example are joined as bytes, so that protobuf's merge
gives "example overrides context" for each feature.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from strongroom.errors import BadInput
from strongroom.tfserving.datatypes import Array
from strongroom.tfserving.descriptors import ProtoMessage


class BadExamples(BadInput):
    """A classify or regress request holds no examples."""

    code = "SR-EXAMPLES"
    fix = "Send at least one tensorflow.Example."


def serialized_examples(given: ProtoMessage) -> list[bytes]:
    """Return the Examples of an Input, each serialised, with the context that it may have. Raises BadExamples."""
    kind = given.WhichOneof("kind")
    found: list[bytes] = []
    if kind == "example_list":
        found = [example.SerializeToString() for example in given.example_list.examples]
    elif kind == "example_list_with_context":
        listed = given.example_list_with_context
        context = listed.context.SerializeToString()
        found = [context + example.SerializeToString() for example in listed.examples]
    if not found:
        raise BadExamples("Input is empty.")
    return found


def string_vector(values: Iterable[bytes]) -> Array:
    """Return byte strings as a DT_STRING array of rank 1."""
    listed = list(values)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array
