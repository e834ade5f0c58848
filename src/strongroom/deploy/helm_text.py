"""What both charts are made with: named templates of Helm, and the files that come with the package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources.abc import Traversable


def definition(name: str, text: str) -> str:
    """Return a named template of Helm."""
    return f'{{{{- define "{name}" -}}}}\n{text}\n{{{{- end }}}}'


def packaged(folder: Traversable, prefix: str = "") -> Iterable[tuple[str, bytes]]:
    """Yield the relative path and content of every file below a folder of the package."""
    for each in folder.iterdir():
        path = f"{prefix}{each.name}"
        if each.is_dir():
            yield from packaged(each, f"{path}/")
        else:
            yield path, each.read_bytes()
