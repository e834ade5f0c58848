"""Let the workspace say what runs after a rollout, so that the next `deploy apply` does not go back.

World: deploy.lock.toml and strongroom.toml of the workspace. `with_version` is pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strongroom.deploy.cluster.rollout_state import RolloutState
from strongroom.deploy.description import Description, Role
from strongroom.deploy.images.pinning import LOCK, pin
from strongroom.pki import disk
from strongroom.workspace.settings import MAX_SETTINGS_BYTES, Settings

SETTINGS: Final = "strongroom.toml"
_DIGEST: Final = re.compile(r".+@sha256:[0-9a-f]{64}")
_TABLE: Final = re.compile(r"^\[deploy\][ \t]*(#.*)?$", re.MULTILINE)
_VERSION: Final = re.compile(r"^version[ \t]*=.*$", re.MULTILINE)
_NEXT: Final = re.compile(r"^\[", re.MULTILINE)


def settle(workspace: Path, state: RolloutState) -> Iterator[str]:
    """Write down which images run; yield what was written, or what a person has to write."""
    exact = {Role(role): each for role, each in state.images.items() if _DIGEST.fullmatch(each)}
    if exact:
        pin(workspace, exact)
        yield f"{LOCK} names the images that run now"
    place = workspace / SETTINGS
    text = disk.read_bounded(place, limit=MAX_SETTINGS_BYTES).decode()
    described = Description.parse(Settings.parse(text.encode()).deploy or {})
    tags = {Role(role): each for role, each in state.images.items() if Role(role) not in exact}
    if all(described.image(role) == each for role, each in tags.items()):
        return
    for version in {each.rpartition(":")[2].removeprefix(f"{described.flavour}-") for each in tags.values()}:
        changed = with_version(text, version)
        if changed is not None:
            disk.replace_public(place, changed.encode())
            yield f'{SETTINGS} says version = "{version}" in [deploy]'
            return
    yield f"notice: write into [deploy.images] of {SETTINGS} what runs now: {', '.join(tags.values())}"


def with_version(text: str, version: str) -> str | None:
    """Return strongroom.toml with another [deploy] version; None where a program cannot change it safely."""
    line = f'version = "{version}"'
    table = _TABLE.search(text)
    if table is None:
        changed = f"{text.rstrip()}\n\n[deploy]\n{line}\n"
    else:
        end = _NEXT.search(text, table.end())
        body = text[table.end() : end.start() if end else len(text)]
        after = text[table.end() + len(body) :]
        known = _VERSION.search(body)
        body = f"{body[: known.start()]}{line}{body[known.end() :]}" if known else f"\n{line}{body}"
        changed = text[: table.end()] + body + after
    try:
        wanted = tomllib.loads(text)
        wanted["deploy"] = {**wanted.get("deploy", {}), "version": version}
        return changed if tomllib.loads(changed) == wanted else None
    except (ValueError, TypeError):
        return None
