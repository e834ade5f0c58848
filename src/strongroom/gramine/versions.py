"""Gramine's releases, as far as measurements and manifests differ between them. Pure."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from strongroom.errors import BadInput

_TEXT: Final = re.compile(r"v?1\.([0-9])(?:\.[0-9]{1,3})?(?:-[0-9]{1,3})?\Z", re.ASCII)


class GramineVersionUnknown(BadInput):
    """A release of Gramine is named that is not known here."""

    code = "SR-GRAMINE-VERSION"
    fix = "Name the release that signs and runs the enclave: one of 1.0 to 1.9."


class GramineVersion(IntEnum):
    """A release; patch releases (1.3.1, 1.6.2) change nothing that matters here."""

    V1_0, V1_1, V1_2, V1_3, V1_4, V1_5, V1_6, V1_7, V1_8, V1_9 = range(10)

    def __str__(self) -> str:
        """Return the release as Gramine writes it."""
        return f"1.{self.value}"


LATEST: Final = GramineVersion.V1_9
MEASURED: Final = frozenset({GramineVersion.V1_9})  # compared with what Gramine's own signer computes


def parse(text: str) -> GramineVersion:
    """Return the release that `text` names: 1.9, v1.6.2, 1.3.1. Raises GramineVersionUnknown."""
    match = _TEXT.match(text)
    if match is None:
        raise GramineVersionUnknown(f"there is no release {text[:40]!r} of Gramine here")
    return GramineVersion(int(match[1]))
