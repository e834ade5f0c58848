"""Compile our Java classes when an image is built: `python -m strongroom.analytics.parquet.prebuild DIR`.

Whoever runs the image needs no compiler, no cache to write to, and measures the jars with the rest of the program.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from strongroom.analytics.parquet import build
from strongroom.pki import disk

SOURCES: Final = (build.SOURCES, build.SOURCES.parents[1] / "submit" / "java")


def main(words: Sequence[str]) -> int:
    """Write parquet.jar and submit.jar. Raises NoSpark, JavaNotBuilt."""
    (target,) = map(Path, words)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="strongroom-java-") as cache:
        for sources in SOURCES:
            jar = build.build(sources, {**os.environ, "XDG_CACHE_HOME": cache})
            disk.replace_public(target / f"{sources.parent.name}.jar", jar.read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
