"""Generated tables to learn from, in the form of well-known ones: prices of houses, and who has diabetes. Pure.

The same seed and size give the same numbers everywhere. They are stand-ins: nobody's house and nobody's health.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

HOUSING_COLUMNS: Final = ("income", "age", "rooms", "bedrooms", "population", "occupancy", "latitude", "longitude")
DIABETES_COLUMNS: Final = tuple(f"f{number}" for number in range(1, 9))
LABEL: Final = "label"
Numbers = NDArray[np.float64]


def housing(size: int, *, seed: int = 0) -> dict[str, Numbers]:
    """Return columns of a housing survey by name; `label`: the median price in 100,000."""
    rng = np.random.default_rng([seed, 1])
    income = rng.lognormal(1.2, 0.45, size)
    age, population = rng.integers(1, 53, size).astype(float), rng.lognormal(7, 0.6, size)
    rooms = np.clip(rng.normal(5.4, 1.2, size), 1, None)
    bedrooms, occupancy = rooms * rng.uniform(0.15, 0.3, size), np.clip(rng.normal(3, 0.7, size), 1, None)
    latitude, longitude = rng.uniform(32.5, 42, size), rng.uniform(-124.3, -114.3, size)
    inland = np.abs(longitude + 124 - (42 - latitude) * 0.7)
    price = 0.45 * income + 0.2 * rooms - 0.25 * inland - 0.3 * (occupancy - 3) + 0.005 * age
    label = np.clip(price + rng.normal(0, 0.25, size), 0.15, 5)
    values = (income, age, rooms, bedrooms, population, occupancy, latitude, longitude)
    return {**dict(zip(HOUSING_COLUMNS, (each.round(4) for each in values), strict=True)), LABEL: label.round(4)}


def diabetes(size: int, *, seed: int = 0) -> dict[str, Numbers]:
    """Return columns f1 to f8 of a health survey by name; `label`: 1 for those who have it, 0 for the others."""
    rng = np.random.default_rng([seed, 2])
    births, glucose = rng.poisson(3.8, size).astype(float), rng.normal(121, 30, size)
    pressure, skin = rng.normal(72, 12, size), np.clip(rng.normal(29, 10, size), 7, None)
    insulin, weight = np.clip(glucose * 1.3 + rng.normal(0, 60, size), 14, None), rng.normal(32, 7, size)
    pedigree, age = rng.gamma(2, 0.24, size), 21 + rng.gamma(1.3, 9, size)
    risk = 0.045 * (glucose - 121) + 0.11 * (weight - 32) + 1.2 * (pedigree - 0.48) + 0.05 * (age - 33) - 0.8
    label = (rng.random(size) < 1 / (1 + np.exp(-1.6 * risk))).astype(float)
    values = (births, glucose, pressure, skin, insulin, weight, pedigree, age)
    return {**dict(zip(DIABETES_COLUMNS, (each.round(3) for each in values), strict=True)), LABEL: label}


def to_csv(columns: dict[str, Numbers]) -> str:
    """Return a table as CSV with a header."""
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(f"{value:g}" for value in row) for row in rows)]) + "\n"
