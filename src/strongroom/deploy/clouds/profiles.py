"""Where profiles lie: the ones that come along, and a workspace's own. World: reads files."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from strongroom.deploy.clouds.profile import MAX_PROFILE_BYTES, CloudMalformed, Profile
from strongroom.errors import BadInput


class UnknownCloud(BadInput):
    """The [deploy] table names a cloud for which there is no profile."""

    code = "SR-CLOUD-UNKNOWN"
    fix = "Name one of the clouds listed, or put a profile of your own into the workspace: clouds/NAME.toml."


def profile(name: str, folder: Path | None = None) -> Profile:
    """Return a cloud's profile; `folder`, a workspace's `clouds`, goes first. Raises UnknownCloud, CloudMalformed."""
    found = _own(name, folder) if folder is not None else None
    if found is None and re.fullmatch(r"[a-z0-9-]{1,40}", name):
        shipped = _shipped() / f"{name}.toml"
        if shipped.is_file():
            found = Profile.parse(shipped.read_bytes(), f"{name}.toml")
    if found is None:
        raise UnknownCloud(f"there is no cloud {name[:64]!r}; there are {', '.join(names(folder))}")
    if found.name != name:
        raise CloudMalformed(f"{name}.toml calls itself {found.name!r}")
    return found


def names(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names of all profiles."""
    own = {path.stem for path in folder.glob("*.toml")} if folder is not None and folder.is_dir() else set()
    return tuple(sorted({Path(each.name).stem for each in _shipped().iterdir() if each.name.endswith(".toml")} | own))


def _shipped() -> resources.abc.Traversable:
    return resources.files("strongroom.deploy.clouds") / "profiles"


def _own(name: str, folder: Path) -> Profile | None:
    path = folder / f"{name}.toml"
    try:
        with path.open("rb") as file:
            return Profile.parse(file.read(MAX_PROFILE_BYTES + 1), str(path))
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise CloudMalformed(f"cannot read {path}: {problem.strerror}") from None
