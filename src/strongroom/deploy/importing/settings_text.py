"""Words of the [deploy] table as text for strongroom.toml, checked by the reader that will read them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from strongroom.deploy.description import Description


def settings_text(parts: Iterable[Mapping[str, Any]]) -> str:
    """Return one [deploy] table of all parts; a later one wins. Raises DeployMalformed where a value is not allowed."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    Description.parse(merged)
    models = merged.pop("model", [])
    resources = merged.pop("resources", {})
    lines = ["[deploy]", *_lines(merged)]
    if resources:
        lines += ["", "[deploy.resources]", *_lines(resources)]
    for model in models:
        lines += ["", "[[deploy.model]]", *_lines(model)]
    return "\n".join(lines) + "\n"


def _lines(table: Mapping[str, Any]) -> list[str]:
    # The reader admits whole numbers and plain ASCII text alone, which JSON and TOML write alike.
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]
