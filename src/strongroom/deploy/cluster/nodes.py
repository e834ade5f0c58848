"""What nodes have and what is left of it, as the API server says. Pure. Source: Kubernetes API reference, core/v1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from strongroom.deploy.cluster.objects import conditions_of, dig, items, text
from strongroom.deploy.cluster.quantities import amount

_ENDED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node: what pods may use of it, and how much of that is asked for already."""

    name: str
    ready: bool
    open: bool  # pods may be put there
    allocatable: Mapping[str, Decimal]
    asked: Mapping[str, Decimal] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    images: frozenset[str] = frozenset()

    def left(self, resource: str) -> Decimal:
        """Return how much of a resource is left."""
        return max(Decimal(0), self.allocatable.get(resource, Decimal(0)) - self.asked.get(resource, Decimal(0)))

    def room_for(self, wanted: Mapping[str, Decimal]) -> int:
        """Return how many pods that want so much find room."""
        if not (self.ready and self.open):
            return 0
        counts = [int(self.left(name) / each) for name, each in wanted.items() if each > 0]
        return min(counts, default=0)


def node_of(
    value: Mapping[str, Any], asked: Mapping[str, Decimal], *, tolerations: Iterable[Mapping[str, str]] = ()
) -> Node:
    """Return a node; `asked`: what its pods ask for; `tolerations`: those of our pods."""
    tolerated = {each.get("key") for each in tolerations}
    ready = conditions_of(value).get("Ready", {})
    found = dig(value, "status", "allocatable", kind=dict) or {}
    labels = dig(value, "metadata", "labels", kind=dict) or {}
    barred = [
        text(each, "key")
        for each in items(value, "spec", "taints")
        if text(each, "effect") in {"NoSchedule", "NoExecute"} and text(each, "key") not in tolerated
    ]
    return Node(
        name=text(value, "metadata", "name"),
        ready=text(ready, "status") == "True",
        open=dig(value, "spec", "unschedulable", kind=bool) is not True and not barred,
        allocatable={str(name): amount(str(each)) for name, each in found.items()},
        asked=asked,
        labels={str(name): str(each) for name, each in labels.items()},
        images=frozenset(
            str(name)
            for each in items(value, "status", "images")
            for name in dig(each, "names", kind=list) or []
        ),
    )  # fmt: skip


def asked_by_node(pods: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Decimal]]:
    """Return what pods ask for by node: of each pod the sum of its containers, or its largest init container."""
    found: dict[str, dict[str, Decimal]] = {}
    for pod in pods:
        node = text(pod, "spec", "nodeName")
        if not node or text(pod, "status", "phase") in _ENDED:
            continue
        total = found.setdefault(node, {})
        for name, each in requests_of(pod).items():
            total[name] = total.get(name, Decimal(0)) + each
        total["pods"] = total.get("pods", Decimal(0)) + 1
    return found


def requests_of(pod: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what one pod asks for."""
    total: dict[str, Decimal] = {}
    for each in items(pod, "spec", "containers"):
        for name, value in (dig(each, "resources", "requests", kind=dict) or {}).items():
            total[str(name)] = total.get(str(name), Decimal(0)) + amount(str(value))
    for each in items(pod, "spec", "initContainers"):
        for name, value in (dig(each, "resources", "requests", kind=dict) or {}).items():
            total[str(name)] = max(total.get(str(name), Decimal(0)), amount(str(value)))
    return total
