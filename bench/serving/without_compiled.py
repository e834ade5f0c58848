"""`strongroom` as it is where nothing of ours could be compiled: its C extensions are hidden. Run by the bench."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class Hidden(MetaPathFinder):
    """Finds no extension module below `strongroom`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("strongroom."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".so"):
            raise ModuleNotFoundError(f"{fullname} is hidden by the bench", name=fullname)
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, Hidden())
    from strongroom.cli import main

    sys.exit(main(sys.argv[1:]))
