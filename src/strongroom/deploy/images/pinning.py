"""WORKSPACE/deploy.lock.toml: the digests of pushed images, written by the machine, read by every renderer.

The owner's strongroom.toml stays as it was written; what it pins itself in [deploy.images] wins over this file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from strongroom.deploy.description import Description, Role
from strongroom.errors import BadInput
from strongroom.pki import disk

LOCK: Final = "deploy.lock.toml"
MAX_LOCK_BYTES: Final = 64 * 1024
_PINNED: Final = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}@sha256:[0-9a-f]{64}")
_HEAD: Final = "# Written by strongroom deploy build --push: which images, exactly. Not to be edited.\n"


class LockMalformed(BadInput):
    """The file deploy.lock.toml, which pins images by their digests, is not as strongroom deploy build writes it."""

    code = "SR-IMAGE-LOCK"
    fix = "Remove deploy.lock.toml from the workspace and run strongroom deploy build --push again."


def pinned(workspace: Path) -> dict[Role, str]:
    """Return the pinned images of a workspace; none where nothing was pushed. Raises LockMalformed."""
    try:
        content = disk.read_bounded(workspace / LOCK, limit=MAX_LOCK_BYTES)
    except FileNotFoundError:
        return {}
    return parse(content)


def parse(content: bytes) -> dict[Role, str]:
    """Read the file's content. Raises LockMalformed."""
    try:
        table = tomllib.loads(content[: MAX_LOCK_BYTES + 1].decode("utf-8"))
    except (ValueError, RecursionError):
        raise LockMalformed(f"{LOCK} is not TOML") from None
    images = table.get("images")
    if len(content) > MAX_LOCK_BYTES or table.keys() != {"images"} or not isinstance(images, dict):
        raise LockMalformed(f"{LOCK} holds something beside the table [images]")
    found = {}
    for name, reference in images.items():
        if name not in set(Role) or not isinstance(reference, str) or not _PINNED.fullmatch(reference):
            raise LockMalformed(f"{LOCK}: {name[:40]!r} is no role with an image and its digest")
        found[Role(name)] = reference
    return found


def with_pins(description: Description, workspace: Path) -> Description:
    """Return the description with pinned images; what strongroom.toml names itself wins. Raises LockMalformed."""
    return replace(description, images={**pinned(workspace), **description.images})


def pin(workspace: Path, images: Mapping[Role, str]) -> Path:
    """Add images to the lock file, atomically; return where it is. Raises LockMalformed for what could not be read."""
    together = {**pinned(workspace), **images}
    lines = [f'{role.value} = "{reference}"\n' for role, reference in sorted(together.items())]
    content = (_HEAD + "\n[images]\n" + "".join(lines)).encode()
    parse(content)
    disk.replace_public(workspace / LOCK, content)
    return workspace / LOCK
