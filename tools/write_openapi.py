"""Write docs/openapi.json from the table of operations; `--check` says whether it is current."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from strongroom.broker.admin.openapi import document

TARGET = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def page() -> str:
    """Return the whole file."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        current = TARGET.read_text(encoding="utf-8") == page()
        sys.exit(0 if current else "docs/openapi.json is stale: run python tools/write_openapi.py")
    TARGET.write_text(page(), encoding="utf-8")
