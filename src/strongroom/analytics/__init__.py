"""Trusted analytics: Spark on data that nobody else can read, with keys for attested processes alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from strongroom.analytics.context.context import StrongroomContext
    from strongroom.analytics.context.ppml import PPMLContext
    from strongroom.analytics.submit.session import TrustedSession
    from strongroom.datasets.names import CryptoMode

__all__ = ["CryptoMode", "PPMLContext", "StrongroomContext", "TrustedSession"]

_PLACES: Final = {
    "CryptoMode": "strongroom.datasets.names",
    "PPMLContext": "strongroom.analytics.context.ppml",
    "StrongroomContext": "strongroom.analytics.context.context",
    "TrustedSession": "strongroom.analytics.submit.session",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is asked for: what needs Spark is not imported for what does not."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
