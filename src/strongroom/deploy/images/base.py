"""Make the root that a recipe describes, with mmdebstrap, once: it is kept as a tar below the user's cache folder.

World: processes, that folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from strongroom.deploy.images import programs
from strongroom.deploy.images.recipe import EPOCH, Recipe

TIMEOUT_S: Final = 1800.0
INSTALL: Final = "apt-get install mmdebstrap, or name an image with --base IMAGE@sha256:DIGEST"


def make(recipe: Recipe, cache: Path, environ: Mapping[str, str]) -> Path:
    """Return the tar of a root, made now unless it was made before. Raises ProgramMissing or ProgramFailed."""
    place = cache / f"{recipe.tag}.tar"
    if place.exists():
        return place
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = cache / f".{recipe.tag}.{os.getpid()}.tar"
    try:
        programs.run(
            "mmdebstrap", [*recipe.words, str(draft)], {**environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
            timeout_s=TIMEOUT_S, install=INSTALL,
        )  # fmt: skip
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
    return place


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where roots are kept between builds."""
    beneath = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(beneath) / "strongroom" / "images"
