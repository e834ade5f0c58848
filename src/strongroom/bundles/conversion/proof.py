"""Prove a conversion: the same inputs through source and result, every output compared.

The source is run once on random inputs from a printed seed and on what the owner supplies; each result is held against
those answers. There is no result without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion import comparison, examples, random_inputs, supplied
from strongroom.bundles.conversion.comparison import Difference
from strongroom.bundles.conversion.errors import ConversionDiffers, ConversionUnproved
from strongroom.bundles.conversion.loaded import Arrays, Loaded

DEFAULT_SEED: Final = 20240229
Run = Callable[[str, Arrays], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Checks:
    """What to compare on: a seed, how many random draws of each batch size, and files with inputs."""

    seed: int = DEFAULT_SEED
    random: int = 1
    files: Sequence[Path] = ()
    tolerance: float = comparison.DEFAULT_TOLERANCE


@dataclass(frozen=True, slots=True)
class Case:
    """One question and the source's answer: where the inputs come from, inputs and outputs by alias."""

    signature: str
    origin: str
    inputs: Arrays
    expected: Arrays


def cases(model: Loaded, source: Run, checks: Checks) -> list[Case]:
    """Run the source on everything it is compared on. Raises ConversionUnproved, BadCheckInputs."""
    found = list(_random_cases(model, source, checks))
    for path in checks.files:
        for name, inputs in supplied.read(path, model.signatures).items():
            found.append(_answered(source, name, str(path), inputs))
    missing = sorted(set(model.signatures) - {case.signature for case in found})
    if missing:
        raise ConversionUnproved(f"nothing was compared for the signature {missing[0]!r}: no inputs fit it")
    return found


def _random_cases(model: Loaded, source: Run, checks: Checks) -> Iterator[Case]:
    entropy = np.random.default_rng(checks.seed)
    for name, signature in sorted(model.signatures.items()):
        strings = examples.string_sources(model, signature)
        sizes: Sequence[int] = random_inputs.SIZES if random_inputs.has_free_sizes(signature) else (1,)
        for batch in random_inputs.BATCHES if random_inputs.has_free_batch(signature) else (1,):
            for _ in range(checks.random):
                drawn = (
                    (size, random_inputs.draw(signature, entropy, batch=batch, size=size, strings=strings))
                    for size in sizes
                )
                case, size = _first_that_runs(source, name, f"random, batch {batch}", drawn)
                sizes = (size,)
                yield case


def _first_that_runs(source: Run, name: str, origin: str, drawn: Iterator[tuple[int, Arrays]]) -> tuple[Case, int]:
    """Return a case of the first drawn inputs that the source takes, and their size."""
    problem = None
    for size, inputs in drawn:
        try:
            return _answered(source, name, origin, inputs), size
        except ConversionUnproved as unproved:
            problem = unproved
    raise ConversionUnproved(f"on inputs {origin}: {problem.sentence if problem else 'none were drawn'}")


def _answered(source: Run, name: str, origin: str, inputs: Arrays) -> Case:
    expected = source(name, inputs)
    for alias, values in expected.items():
        if comparison.is_inexact(values) and np.isnan(values.astype(np.complex128)).any():
            raise ConversionUnproved(f"{alias} of {name!r} has NaN in the source itself ({origin})")
    return Case(name, origin, inputs, expected)


def prove(asked: Sequence[Case], result: Run, tolerance: float) -> dict[tuple[str, str], Difference]:
    """Return the largest differences by signature and output. Raises ConversionDiffers."""
    found: dict[tuple[str, str], Difference] = {}
    for case in asked:
        answer = result(case.signature, case.inputs)
        if set(answer) != set(case.expected):
            raise ConversionDiffers(
                f"{case.signature!r} gives {sorted(answer)} in the result, not {sorted(case.expected)}"
            )
        for alias, expected in case.expected.items():
            label = f"{alias} of {case.signature!r} ({case.origin})"
            difference = comparison.compare(expected, answer[alias], output=label, tolerance=tolerance)
            key = (case.signature, alias)
            found[key] = found[key].joined(difference) if key in found else difference
    return found
