"""Find the demo's photographs: the two that scikit-learn carries (CC BY 2.0), read without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.client.extras import locate


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph to classify; `expected` is the class it must show, where that is known beforehand."""

    path: Path
    expected: str | None = None


_SAMPLES: Final = (("china.jpg", "palace"), ("flower.jpg", "daisy"))


def sample_photos() -> tuple[Photo, ...]:
    """Return scikit-learn's two photographs. Raises MissingExtra when it is not installed."""
    folder = locate("sklearn", extra="demo") / "datasets" / "images"
    return tuple(Photo(folder / name, expected) for name, expected in _SAMPLES)


def own_photos(paths: list[Path]) -> tuple[Photo, ...]:
    """Return the user's photographs, of which nothing is known beforehand."""
    return tuple(Photo(path.resolve()) for path in paths)
