"""Kubernetes objects out of YAML that somebody else wrote: plain values only, within limits. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from strongroom.errors import BadInput

MAX_YAML_BYTES: Final = 1024 * 1024
MAX_YAML_DEPTH: Final = 32
MAX_YAML_VALUES: Final = 50_000
# YAML 1.1 has numbers to the base 60 (1:1:1…), which take the square of their length to read.
_LONG_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9a-fA-Fxo_:.]{64,}")


class YamlMalformed(BadInput):
    """A file is not YAML of plain values, or is larger than any Kubernetes object may be."""

    code = "SR-DEPLOY-YAML"
    fix = "Give the file as kubectl apply would take it, without anchors and tags of its own."


def objects_of(data: bytes, *, where: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a file, those of a List taken out of it. Raises YamlMalformed, with the line.

    Anchors and aliases are refused: they make a small file a large value, and kubectl's users never need them.
    """
    if len(data) > MAX_YAML_BYTES:
        raise YamlMalformed(f"{where} is longer than {MAX_YAML_BYTES} bytes")
    try:
        text = data.decode("utf-8")
        _within_limits(text, where)
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except UnicodeDecodeError as problem:
        raise YamlMalformed(f"{where} is not UTF-8 at byte {problem.start}") from None
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as problem:
        raise YamlMalformed(f"{where} is not YAML of plain values: {_said(problem)}") from None
    found: list[dict[str, Any]] = []
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise YamlMalformed(f"{where} holds a document that is no Kubernetes object")
        items = document.get("items") if document["kind"] == "List" else None
        found += items if isinstance(items, list) and all(isinstance(item, dict) for item in items) else [document]
    return tuple(found)


def _within_limits(text: str, where: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            line = event.start_mark.line + 1 if event.start_mark is not None else 0
            raise YamlMalformed(f"{where}, line {line}: anchors and aliases are not read")
        if isinstance(event, yaml.ScalarEvent) and event.style is None and _LONG_NUMBER.fullmatch(event.value):
            raise YamlMalformed(f"{where} has a number that is longer than any")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_YAML_DEPTH or count > MAX_YAML_VALUES:
            raise YamlMalformed(f"{where} is deeper or longer than any Kubernetes object")


def _said(problem: Exception) -> str:
    mark = getattr(problem, "problem_mark", None)
    place = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{place}{getattr(problem, 'problem', None) or type(problem).__name__}"[:200]
