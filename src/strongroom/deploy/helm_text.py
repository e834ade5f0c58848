"""What the charts are made with: the files that come with the package, and what Python decides as named templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from typing import Final

RENDERED: Final = "templates/_rendered.tpl"
_ABOUT: Final = "{{/* What the containers run. Written by Strongroom: change nothing here. */}}"


def chart(packaged: Traversable, definitions: Mapping[str, str]) -> dict[str, bytes]:
    """Return a chart: path inside of the chart's folder -> content, sorted by path.

    `packaged`: its folder in the package. `definitions`: named templates, name -> text.
    """
    lines = [_ABOUT, *(_definition(name, text) for name, text in definitions.items()), ""]
    return dict(sorted({**dict(_below(packaged)), RENDERED: "\n".join(lines).encode()}.items()))


def word_lists(prefix: str, commands: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return commands as definitions: each is a JSON list."""
    return {f"{prefix}.{name}": json.dumps(list(words)) for name, words in commands.items()}


def _definition(name: str, text: str) -> str:
    return f'{{{{- define "{name}" -}}}}\n{text}\n{{{{- end }}}}'


def _below(folder: Traversable, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    for each in folder.iterdir():
        path = f"{prefix}{each.name}"
        if each.is_dir():
            yield from _below(each, f"{path}/")
        else:
            yield path, each.read_bytes()
