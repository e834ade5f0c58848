"""What the learning examples have to print: the guide's lines, and how well a model has to do. Pure.

How well depends on how much there is to learn from: the guide's numbers hold for all of the real data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from strongroom.analytics.examples.asked import Asked
from strongroom.analytics.examples.checks import Check

LENET_REAL: Final = (0.95, 0.97)  # after one epoch, and after two
LENET_OTHER: Final = (0.85, 0.90)  # all of the stand-in, or much of the real pictures
MUCH: Final = 20_000
MAILS_REAL, MAILS_OTHER = 0.95, 0.85
ENOUGH_ROWS: Final = 1_000  # fewer tell nothing of how good a model is
_ACCURACY: Final = re.compile(r"^Top1Accuracy is Accuracy\(correct: (\d+), count: (\d+), accuracy: ([\d.]+)\)$", re.M)
_RESULTS: Final = re.compile(r"^results: \{'loss': ([\d.e+-]+), 'acc Top1Accuracy': ([\d.e+-]+)\}$", re.MULTILINE)
_MEASURE: Final = r"^{} ([\d.-]+)"


def lenet(*, real: bool) -> Check:
    """Two accuracies that agree with their own counts, as good as so many pictures make them."""

    def check(output: str, asked: Asked) -> list[str]:
        found = [(int(right), int(count), float(share)) for right, count, share in _ACCURACY.findall(output)]
        if len(found) != 2 or any(abs(right / count - share) > 1e-4 for right, count, share in found):
            return [f"there are {len(found)} lines of Top1Accuracy that are right in themselves, not 2"]
        wanted = LENET_REAL if real and asked.size == 0 else LENET_OTHER if not 0 < asked.size < MUCH else (0.0, 0.0)
        return [f"accuracy {share} after epoch {epoch} is below {least}"
                for epoch, ((_, _, share), least) in enumerate(zip(found, wanted, strict=True), start=1)
                if share < least]  # fmt: skip

    return check


def mails(*, real: bool) -> Check:
    """Loss and accuracy of telling spam from other mails."""

    def check(output: str, asked: Asked) -> list[str]:
        found = _RESULTS.search(output)
        if found is None:
            return ["there is no line of results"]
        least = 0.0 if 0 < asked.size < ENOUGH_ROWS else MAILS_REAL if real else MAILS_OTHER
        return [] if float(found[2]) >= least else [f"accuracy {found[2]} is below {least}"]

    return check


def measured(columns: Sequence[str], what: str, least: float) -> Check:
    """A table with these columns, in any order, and a line `WHAT NUMBER` whose number is not below `least`."""

    def check(output: str, asked: Asked) -> list[str]:
        heads = [sorted(cell.strip() for cell in line.strip("|").split("|")) for line in output.splitlines()
                 if line.startswith("|")]  # fmt: skip
        if sorted(columns) not in heads:
            return [f"there is no table of {', '.join(columns)}"]
        found = re.search(_MEASURE.format(what), output, re.MULTILINE)
        if found is None:
            return [f"no line reads {what}"]
        enough = asked.data is not None or 0 < asked.size < ENOUGH_ROWS
        return [] if enough or float(found[1]) >= least else [f"{found[0]} is below {least}"]

    return check
