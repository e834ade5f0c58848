"""List what lies below a folder without following a link: also a folder that somebody hostile filled.

World: reads one folder, level by level, without recursion.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from strongroom.bundles.manifest import MAX_DEPTH


def below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield path (relative, `/` between parts) and status of every entry, folders included and then entered.

    Folders nested deeper than any bundle's are named, not entered: no caller admits such a path.
    """
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = prefix + entry.name
            yield path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False) and path.count("/") < MAX_DEPTH:
                waiting.append(path + "/")
