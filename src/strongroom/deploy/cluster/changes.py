"""What applying would do: objects in their order, field by field; and what has to go. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from strongroom.deploy.cluster.objects import dig, text

MAX_FIELDS: Final = 12  # of one object, that a person is shown
MAX_VALUE: Final = 60
NAMESPACE: Final = "Namespace"
_SERVERS: Final = frozenset({"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"})
_SECRETS: Final = frozenset({"Secret"})
# Kinds that a rendering may have had before and has no more. Volumes are never pruned: they hold a broker's store.
PRUNED: Final = (
    "deployments.apps", "statefulsets.apps", "services", "configmaps", "serviceaccounts",
    "networkpolicies.networking.k8s.io", "poddisruptionbudgets.policy", "horizontalpodautoscalers.autoscaling",
    "ingresses.networking.k8s.io", "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io",
    "jobs.batch", "secrets", "tlsroutes.gateway.networking.k8s.io", "gateways.gateway.networking.k8s.io",
    "prometheusrules.monitoring.coreos.com",
)  # fmt: skip


class Fate(StrEnum):
    """What happens to an object."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"
    GONE = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object and what happens to it."""

    kind: str
    name: str
    fate: Fate
    fields: tuple[str, ...] = ()  # `spec.replicas: 1 -> 4`

    def __str__(self) -> str:
        return f"{self.fate.value:<8} {self.kind}/{self.name}" + "".join(f"\n           {each}" for each in self.fields)

    def to_json_object(self) -> dict[str, object]:
        """Return the change as JSON can write it."""
        return {"kind": self.kind, "name": self.name, "fate": self.fate.value, "fields": list(self.fields)}


def key(value: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what tells objects apart: API group, kind, name."""
    group, slash, _ = text(value, "apiVersion").partition("/")
    return (group if slash else "", text(value, "kind"), text(value, "metadata", "name"))


def change_of(live: Mapping[str, Any] | None, planned: Mapping[str, Any]) -> Change:
    """Return what becomes of an object; `planned` is what the server says that it would be."""
    _, kind, name = key(planned)
    if live is None:
        return Change(kind=kind, name=name, fate=Fate.NEW)
    fields = tuple(_shown(kind, each) for each in differences(_comparable(live), _comparable(planned)))
    more = (f"and {len(fields) - MAX_FIELDS} more",) if len(fields) > MAX_FIELDS else ()
    return Change(
        kind=kind, name=name, fate=Fate.CHANGED if fields else Fate.SAME, fields=(*fields[:MAX_FIELDS], *more)
    )


def differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield path, old and new value of everything that differs; members of lists that have names go by these."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys((*before, *after)):
            yield from differences(before.get(name), after.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _named(before), _named(after)
        for name in dict.fromkeys((*old, *new)):
            yield from differences(old.get(name), new.get(name), f"{path}[{name}]")
    elif before != after:
        yield path, before, after


def gone(
    live: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], *, keep: frozenset[str] = frozenset()
) -> tuple[Mapping[str, Any], ...]:
    """Return the live objects of a deployment that its rendering no longer has; `keep`: names made otherwise.

    What another object owns (a Deployment's ReplicaSet, a HPA's) goes with its owner.
    """
    known = {key(each) for each in wanted}
    return tuple(
        each
        for each in live
        if key(each) not in known
        and text(each, "metadata", "name") not in keep
        and not dig(each, "metadata", "ownerReferences", kind=list)
    )


def waves(objects: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], ...]]:
    """Yield the objects in the order of applying: the namespace first, so that the others have a place."""
    first = tuple(each for each in objects if each.get("kind") == NAMESPACE)
    rest = tuple(each for each in objects if each.get("kind") != NAMESPACE)
    yield from (wave for wave in (first, rest) if wave)


def _comparable(value: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: each for name, each in value.items() if name != "status"}
    meta = found.get("metadata")
    if isinstance(meta, Mapping):
        found["metadata"] = {name: each for name, each in meta.items() if name not in _SERVERS}
    return found


def _named(values: list[Any]) -> dict[str, Any]:
    names = [text(each, "name") if isinstance(each, Mapping) else "" for each in values]
    if all(names) and len(set(names)) == len(names):
        return dict(zip(names, values, strict=True))
    return {str(number): each for number, each in enumerate(values)}


def _shown(kind: str, difference: tuple[str, object, object]) -> str:
    path, before, after = difference
    if kind in _SECRETS and not path.startswith("metadata"):
        return f"{path}: changes"
    return f"{path}: {_value(before)} -> {_value(after)}"


def _value(value: object) -> str:
    if value is None:
        return "nothing"
    words = "".join(each if each.isprintable() else " " for each in str(value))
    return words if len(words) <= MAX_VALUE else f"{words[: MAX_VALUE - 1]}…"
