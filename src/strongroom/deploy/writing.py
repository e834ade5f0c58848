"""Write a rendered tree into a folder, and take away what an earlier rendering wrote there and this one does not.

World: that folder. A list of what was written (`.strongroom-rendered`) tells our files from anybody else's; those are
never touched, and a folder that holds files without a list is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from strongroom.deploy.tree import Tree, TreeUnusable, checked_path
from strongroom.errors import Refused
from strongroom.pki import disk

LIST: Final = ".strongroom-rendered"
MAX_LIST_BYTES: Final = 1024 * 1024
_HEAD: Final = (
    "# Written by strongroom deploy render. It may replace and remove the files below, and touches no other.\n"
)


class FolderNotRendered(Refused):
    """The folder to render into holds files that no rendering wrote."""

    code = "SR-RENDER-FOLDER"
    fix = "Name a folder that does not exist yet, or one that strongroom deploy render made."


def write(tree: Tree, folder: Path) -> tuple[str, ...]:
    """Write every file whole, one after the other, then remove what is no longer rendered; return the removed paths.

    Raises FolderNotRendered before anything is written, or OSError.
    """
    before = _listed(folder)
    for path in tree:
        target = folder / path
        _refuse_links(folder, path)
        if path not in before and target.exists():
            raise FolderNotRendered(f"{target} is there, and strongroom deploy render did not write it")
    folder.mkdir(parents=True, exist_ok=True)
    _write_list(folder, before | set(tree))  # first: whatever is interrupted now, the next run knows its own
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        disk.replace_public(folder / path, content)
    removed = sorted(before - set(tree))
    for path in removed:
        _refuse_links(folder, path)
        (folder / path).unlink(missing_ok=True)
        _remove_empty(folder, (folder / path).parent)
    _write_list(folder, set(tree))
    return tuple(removed)


def _listed(folder: Path) -> set[str]:
    """Return what an earlier rendering wrote; nothing for a folder that is absent or empty."""
    try:
        text = disk.read_bounded(folder / LIST, limit=MAX_LIST_BYTES).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FolderNotRendered(f"{folder} holds something, and no list of rendered files") from None
        return set()
    try:
        return {checked_path(line) for line in text.splitlines() if not line.startswith("#")}
    except TreeUnusable:
        raise FolderNotRendered(f"{folder / LIST} is not a list of rendered files") from None


def _refuse_links(folder: Path, path: str) -> None:
    """Refuse a file or folder that is a link: it would lead to files that are not ours."""
    place = folder
    for part in path.split("/"):
        place /= part
        if place.is_symlink():
            raise FolderNotRendered(f"{place} is a link")


def _write_list(folder: Path, paths: set[str]) -> None:
    disk.replace_public(folder / LIST, (_HEAD + "".join(f"{path}\n" for path in sorted(paths))).encode())


def _remove_empty(folder: Path, place: Path) -> None:
    while place != folder and place.is_dir() and not any(place.iterdir()):
        place.rmdir()
        place = place.parent
