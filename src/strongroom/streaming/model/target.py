"""Where a queue's model lies, and which name and version its records are bound to. World: looks at one folder's names.

A path that ends in NAME/VERSION names both, and NAME alone means its highest version, if versions are all that is
there. Otherwise the configuration says, or a plain model is version 1 of its folder's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from strongroom.bundles import check_model
from strongroom.errors import BadInput

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

_VERSION: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class BadModelPath(BadInput):
    """The configuration names no folder of this machine for the model (modelPath)."""

    code = "SR-QUEUE-MODEL-PATH"
    fix = "Set modelPath to the folder with the model on this machine; file:// may stand before it."


@dataclass(frozen=True, slots=True)
class Target:
    """A model's folder, and what it is called."""

    folder: Path
    name: str
    version: int

    @classmethod
    def of(cls, config: QueueConfig) -> Self:
        """Return what a configuration names. Raises BadModelPath or BadModelName."""
        folder = cls._folder(config.model_path or "", config.model_version)
        is_version = _VERSION.fullmatch(folder.name) is not None
        version = config.model_version or (int(folder.name) if is_version else 1)
        name = config.model_name or (folder.parent.name if is_version else folder.name)
        check_model(name, version)
        return cls(folder, name, version)

    @staticmethod
    def _folder(path: str, version: int | None) -> Path:
        scheme = _SCHEME.match(path)
        if scheme is not None and scheme[1].lower() != "file":
            raise BadModelPath(f"modelPath is at {scheme[1][:20]}://, which this worker does not read")
        text = path[scheme.end() :] if scheme is not None else path
        if not text or "\0" in text:
            raise BadModelPath("modelPath is not set")
        folder = Path(text).absolute()
        below = folder / str(version)
        if version is not None:
            return below if folder.name != below.name and below.is_dir() else folder
        return _highest(folder)


def _highest(folder: Path) -> Path:
    """Return the highest version below a folder that has nothing but versions, else the folder itself."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return folder
    versions = [name for name in names if _VERSION.fullmatch(name) and (folder / name).is_dir()]
    return folder / max(versions, key=int) if versions and len(versions) == len(names) else folder
