"""Amounts as Kubernetes writes them. Pure. Source: apimachinery/pkg/api/resource/quantity.go."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(?:e([0-9]{1,2})|([KMGTPE]i|[numkMGTPE]))?")
_SIZES: Final = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15), "E": Decimal(10**18),
    **{f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGTPE", 1)},
}  # fmt: skip


def amount(text: str) -> Decimal:
    """Return an amount; what is none counts as nothing."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return Decimal(0)
    if found[2]:
        return Decimal(found[1]) * Decimal(10) ** int(found[2])
    return Decimal(found[1]) * _SIZES.get(found[3] or "", Decimal(1))


def gramine_size(text: str) -> Decimal:
    """Return the bytes of a size as Gramine writes it: 4G means 4 GiB."""
    return amount(f"{text}i")


def shown(count: Decimal) -> str:
    """Return an amount of bytes as a person reads it."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if count >= _SIZES[unit]:
            return f"{(count / _SIZES[unit]).quantize(Decimal('0.1')).normalize():f}{unit}"
    return f"{count.normalize():f}"
