"""A rendered tree: what files there are to be, by their path, before any of them is written. Pure.

Every renderer returns one, `joined` puts them together. Paths are relative, with "/", and cannot lead out of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from strongroom.errors import BadInput

Tree: TypeAlias = Mapping[str, bytes]  # path -> content
MAX_PATH: Final = 255


class TreeUnusable(BadInput):
    """Two parts of a deployment want the same file, or a file outside of the rendered folder."""

    code = "SR-RENDER-TREE"
    fix = "Rename the model, cloud profile or file that the sentence names."


def joined(*trees: Tree) -> dict[str, bytes]:
    """Return all files of all trees, in the order of their paths. Raises TreeUnusable."""
    found: dict[str, bytes] = {}
    for tree in trees:
        for path, content in tree.items():
            if path in found:
                raise TreeUnusable(f"{path} would be written twice")
            found[checked_path(path)] = content
    folders = {path[:place] for path in found for place, char in enumerate(path) if char == "/"}
    for path in found:
        if path in folders:
            raise TreeUnusable(f"{path} would be both a file and a folder")
    return dict(sorted(found.items()))


def under(folder: str, tree: Tree) -> dict[str, bytes]:
    """Return the same files below `folder`."""
    return {f"{folder}/{path}": content for path, content in tree.items()}


def checked_path(path: str) -> str:
    """Return a path that names a file inside of the tree; raise TreeUnusable for any other."""
    parts = path.split("/")
    is_plain = path.isascii() and path.isprintable() and "\\" not in path and len(path) <= MAX_PATH
    if not is_plain or any(part in {"", ".", ".."} for part in parts):
        raise TreeUnusable(f"{path[:80]!r} is no path inside of the rendered folder")
    return path
