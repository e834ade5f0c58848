"""What options take that several commands have: moments, ports, numbers. Each refuses with a sentence."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

AT_HELP: Final = "judge at this time, as in 2026-01-31T12:00Z or Unix seconds (default: now)"
_LONGEST: Final = 40  # characters of a moment that are looked at, or shown


def moment(text: str) -> datetime:
    """Return a moment with its zone, from Unix seconds or ISO 8601; without a zone, UTC is meant."""
    try:
        if text.isdecimal():
            return datetime.fromtimestamp(int(text[:_LONGEST]), UTC)
        read = datetime.fromisoformat(text)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        wanted = "neither Unix seconds nor a time as 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]!r} is {wanted}") from None


def port(text: str) -> int:
    """Return a port to listen on; 0 asks for a free one."""
    return _number(text, 0, 65535, "a port, 0 to 65535")


def u16(text: str) -> int:
    """Return a product id or a security version."""
    return whole_number(0, 65535)(text)


def local_path(text: str) -> Path:
    """Return a path of this machine; an address such as s3://… would become a folder of that name."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is an address: a folder or file of this machine is wanted")
    return Path(text)


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number between these two."""
    return lambda text: _number(text, least, most, f"a number from {least} to {most}")


def _number(text: str, least: int, most: int, wanted: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text[:32]!r} is not {wanted}")
    return int(text)
