"""Pages from templates: everything is escaped, and nothing is shown that no template names."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import BaseLoader, Environment, FunctionLoader, StrictUndefined

from strongroom.broker.console.wording import parts, short

_FOLDER: Final = files("strongroom.broker.console")


@cache
def environment() -> Environment:
    """Return the templates of this package; an unknown name in one of them is a defect, not an empty place."""
    found = Environment(
        loader=_loader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    found.filters["short"] = lambda value, keep=8: short(str(value), keep=keep)
    found.filters["parts"] = lambda text: parts(str(text))
    return found


def _loader() -> BaseLoader:
    folder = _FOLDER / "templates"
    return FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8"))


def render(name: str, **values: Any) -> str:  # noqa: ANN401  # whatever a template shows
    """Return a page."""
    return environment().get_template(name).render(**values)


@cache
def static_file(name: str) -> tuple[bytes, str] | None:
    """Return a static file and its media type; None if there is none of this name."""
    kind = STATIC.get(name)
    return None if kind is None else ((_FOLDER / "static" / name).read_bytes(), kind)


STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
