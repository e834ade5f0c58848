"""Find what makes Kubernetes objects dangerous, before they are applied (threats DP-01 to DP-10, SA-04).

Pure: objects in, findings out, whatever shape the objects have. Objects are judged together, since a selector or a
policy says nothing alone. `lint` is the one entry; each rule lives in the module of its subject. `network` answers
whether one pod may connect to another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from strongroom.deploy.lint import access, exposure, isolation, matching, pods, running, secrets
from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import Objects

__all__ = ["RULES", "Finding", "Level", "Rule", "lint"]

K00: Final = Rule(id="K00", level=Level.ERROR, title="something is no Kubernetes object, or is there twice")

_ROOMS: Final = (pods, running, matching, secrets, access, isolation, exposure)
RULES: Final = tuple(sorted([K00, *(rule for room in _ROOMS for rule in room.RULES)], key=lambda rule: rule.id))


def lint(objects: Iterable[Mapping[str, Any]], *, production: bool = False) -> tuple[Finding, ...]:
    """Return what the rules find in the objects of one deployment, by object; in production warnings are errors."""
    found = Objects.of(objects)
    findings = [*_unreadable(found)]
    for room in _ROOMS:
        for check in room.CHECKS:
            findings += check(found)
    order = {each.title: index for index, each in reversed(list(enumerate(found.all)))}
    findings.sort(key=lambda each: (order.get(each.object, 0), each.rule.id, each.place))
    return tuple(each.as_error() if production else each for each in findings)


def _unreadable(objects: Objects) -> Iterator[Finding]:
    """K00: what cannot be named cannot be judged; of two of a name the last one wins."""
    seen: set[tuple[str, str]] = set()
    for each in objects.all:
        if not each.kind or not each.name or not each.value.get("apiVersion"):
            yield each.finding(K00, "kind", "apiVersion, kind or metadata.name is missing", "Write all three.")
            continue
        key = str(each.value["apiVersion"]).rpartition("/")[0], each.title
        if key in seen:
            yield each.finding(K00, "metadata.name", "the object is there twice", "Leave one.")
        seen.add(key)
