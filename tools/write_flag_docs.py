"""Write the table of flags into docs/model-server.md, between its two marks; `--check` says whether it is current."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from strongroom.serving.flag_table import STRONGROOM, TENSORFLOW_SERVING, Effect, Flag

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "model-server.md"
BEGIN: Final = "<!-- flags: written by make docs -->\n"
END: Final = "<!-- end of flags -->\n"
PARTS: Final = (
    ("TensorFlow Serving's flags that work", TENSORFLOW_SERVING, Effect.WORKS),
    ("Strongroom's own flags", STRONGROOM, Effect.WORKS),
    ("Accepted without effect", TENSORFLOW_SERVING, Effect.NO_EFFECT),
    ("Refused, unless set to the value that means off", TENSORFLOW_SERVING, Effect.OFF_ONLY),
)


def table() -> str:
    """Return every flag, in four parts."""
    return "\n".join(part(title, (flag for flag in flags if flag.effect is effect)) for title, flags, effect in PARTS)


def part(title: str, flags: Iterable[Flag]) -> str:
    """Return one part: a heading and a table."""
    return f"### {title}\n\n| flag | default | |\n|---|---|---|\n{''.join(map(row, flags))}"


def row(flag: Flag) -> str:
    """Return one table row."""
    default = str(flag.default).lower() if isinstance(flag.default, bool) else str(flag.default)
    about = flag.about.replace("|", "\\|")
    return f"| `--{flag.name}` | {default and f'`{default}`'} | {about} |\n"


def page(text: str) -> str:
    """Return the page with the present table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    now = TARGET.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit(0 if now == page(now) else "docs/model-server.md is stale: run make docs")
    TARGET.write_text(page(now), encoding="utf-8")
