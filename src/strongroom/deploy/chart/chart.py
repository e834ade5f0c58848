"""The chart's files, and its values for one description. The same objects as `deploy.kubernetes`, for Helm's users."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description


def chart_files() -> Mapping[str, bytes]:
    """Return the chart: path inside of the chart's folder -> content, sorted by path."""
    return dict(sorted(_walk(files(__package__) / "strongroom", "")))


def values(description: Description, profile: Profile, public_files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the values with which the chart renders `kubernetes.objects` of the same three."""
    del description, profile, public_files
    return {}


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        path = f"{prefix}{each.name}"
        found += _walk(each, f"{path}/") if each.is_dir() else [(path, each.read_bytes())]
    return found
