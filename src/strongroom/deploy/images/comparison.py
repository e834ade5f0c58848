"""Say file by file how two images differ, which is why their measurements do (threats SA-05). World: two archives."""

from __future__ import annotations

from pathlib import Path

from strongroom.deploy.images.archive import members
from strongroom.deploy.images.tree_view import TreeView


def differences(before: Path, after: Path) -> list[str]:
    """Return one line for each file that is added, removed or changed, sorted by path. Raises ArchiveMalformed."""
    old, new = (dict(_view(archive).below("/")) for archive in (before, after))
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            found.append(f"removed /{path}")
        elif path not in old:
            found.append(f"added /{path}")
        elif old[path] != new[path]:
            found.append(f"changed /{path}: SHA-256 {old[path]} before, {new[path]} now")
    return found


def _view(archive: Path) -> TreeView:
    view = TreeView()
    view.lay(members(archive))
    return view
