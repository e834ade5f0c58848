"""What becomes of a model's outputs: the original's top-n texts, JSON, and names for the classes. Labels are a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from strongroom.errors import BadInput

MAX_LABELS_BYTES: Final = 16 * 1024 * 1024


class LabelsUnusable(BadInput):
    """The labels (labelsFile) cannot be read, or nothing would use them."""

    code = "SR-QUEUE-LABELS"
    fix = "Give a UTF-8 file with one name a line, and postProcessing: topN.json(k), the only form that has room."


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names of classes, one a line. Raises LabelsUnusable."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LABELS_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as problem:
        raise LabelsUnusable(f"{path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise LabelsUnusable(f"{path.name} is not UTF-8") from None
    if len(data) > MAX_LABELS_BYTES:
        raise LabelsUnusable(f"{path.name} is longer than {MAX_LABELS_BYTES} bytes")
    return tuple(line.strip() for line in text.splitlines())


def labelled(text: str, labels: tuple[str, ...]) -> str:
    """Return a top-n of JSON, `[[index, value], ...]`, with each class' name third; null where there is none."""

    def named(found: object) -> object:
        match found:
            case [int() as index, int() | float() as value] if not isinstance(index, bool):
                return [index, value, labels[index] if 0 <= index < len(labels) else None]
            case list():
                return [named(each) for each in found]
        return found

    return json.dumps(named(json.loads(text)), ensure_ascii=False, separators=(",", ":"))
