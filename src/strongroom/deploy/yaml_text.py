"""Kubernetes objects as YAML that people read: keys in the order they were built, block style, no aliases. Pure.

The same objects give the same bytes, in every process and on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

WIDTH: Final = 120
# What some reader takes for a boolean or a number although PyYAML writes it plain: YAML 1.2's numbers, YAML 1.1's y.
_AMBIGUOUS: Final = re.compile(r"[yYnN]|[-+.]?[0-9][0-9A-Fa-fxXoOeE_.:+-]*")
_BREAKS: Final = frozenset("\x85\u2028\u2029\r\ufeff")  # line breaks to some readers, text to others


class _Dumper(yaml.SafeDumper):
    """Writes plain values only; what is not one raises, rather than turning into a tag."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # no value is ever written as a reference
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent lists below their key, as yamllint wants it."""
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if not _BREAKS.isdisjoint(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    elif _AMBIGUOUS.fullmatch(value):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(objects: Iterable[Mapping[str, Any]], *, comment: str = "") -> str:
    """Return one document an object, each after "---"; `comment` lines stand above them."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return head + "".join(
        yaml.dump(
            dict(each), Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True,
            width=WIDTH, explicit_start=True,
        )
        for each in objects
    )  # fmt: skip
