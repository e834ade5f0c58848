"""What a caller hands in, as inputs of a record: arrays, texts, sparse tensors, images by path, bytes or pixels.

World: image files are read here, on the caller's side; what goes into the queue never names a file. Source: spec
`cluster-serving.md` section 3.2 (the table of values) and section 6 (`predict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from strongroom.clusterserving.arrow_request import as_input
from strongroom.clusterserving.faults import BadImage, BadRecord
from strongroom.clusterserving.instances import parse_instances
from strongroom.clusterserving.values import Array, Image, Input, Inputs

DEFAULT_INPUT: Final = "t"  # what the original calls an input that has no name


def inputs_of(data: Mapping[str, Any]) -> Inputs:
    """Return a record's inputs. Raises BadRecord for a value that has no form, BadImage for a file that is no image."""
    if not data:
        raise BadRecord("a record has at least one input")
    return {name: _input(name, value) for name, value in data.items()}


def image_of(image: str | Path | Array) -> Image:
    """Return an image given by its path, or as pixels (uint8, blue first). Raises BadImage."""
    from strongroom.streaming.images.encode import encode_image

    try:
        return encode_image(image)
    except OSError as problem:
        raise BadImage(f"{image} cannot be read: {problem.strerror}") from None


def request_inputs(request: object) -> Mapping[str, Any]:
    """Return what `predict` was asked with, by name: a dictionary, an array, or JSON text with `instances`.

    Like the original it takes the first instance of a JSON text; other text is an image's path. Raises BadRecord.
    """
    if isinstance(request, Mapping):
        return request
    if isinstance(request, str) and request.lstrip().startswith("{"):
        return parse_instances(request)[0]
    return {DEFAULT_INPUT: request}


def _input(name: str, value: object) -> Input:
    path = value["path"] if isinstance(value, Mapping) and set(value) == {"path"} else value
    if isinstance(path, str | Path):
        return image_of(path)
    return as_input(name, value)
