"""Who may connect to whom, as NetworkPolicies say it (threat DP-10). Pure.

Source: Kubernetes API networking.k8s.io/v1 NetworkPolicy. A connection needs both ends' consent: the egress of the pod
that begins it and the ingress of the pod that takes it. A pod that no policy selects for a direction consents to all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from strongroom.deploy.lint.objects import Object, Objects, Table, Workload, items, number, table, tables
from strongroom.deploy.lint.selectors import matches

_NAME: Final = "kubernetes.io/metadata.name"  # a label that Kubernetes puts on every namespace since 1.21


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as a policy sees it. `ports` are its named ports."""

    namespace: str
    labels: Mapping[str, Any]
    namespace_labels: Mapping[str, Any] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str | None = None

    @classmethod
    def of(cls, workload: Workload, namespaces: Mapping[str, Mapping[str, Any]] | None = None) -> Pod:
        """Return a workload's pod; `namespaces` holds the labels of namespaces by name."""
        ports = {
            str(port["name"]): port["containerPort"]
            for container in workload.containers()
            for _, port in tables(container.value.get("ports"))
            if "name" in port and number(port.get("containerPort")) is not None
        }
        name = workload.object.namespace
        return cls(namespace=name, labels=workload.labels, ports=ports,
                   namespace_labels=(namespaces or {}).get(name, {}))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outside:
    """An address that is no pod's: a node, the Internet, the API server."""

    address: str


Peer: TypeAlias = Pod | Outside


def allowed(
    policies: Iterable[Mapping[str, Any]], source: Peer, target: Peer, port: int, protocol: str = "TCP"
) -> bool:
    """Return whether `source` may open a connection to `target` at this port. Objects of other kinds are ignored."""
    found = [each for each in map(Object, policies) if each.kind == "NetworkPolicy"]
    wanted = _Connection(target, port, protocol)
    return _consents(found, source, target, "Egress", wanted) and _consents(found, target, source, "Ingress", wanted)


@dataclass(frozen=True, slots=True)
class _Connection:
    """Where a connection goes."""

    target: Peer
    port: int
    protocol: str


def isolated(policies: Iterable[Object], pod: Pod, direction: str) -> bool:
    """Return whether some policy selects the pod for Ingress or Egress, so that only what is named passes."""
    return any(_selects(each, pod) and direction in _directions(each) for each in policies)


def policies_of(objects: Objects, pod: Pod) -> Iterator[Object]:
    """Yield the policies that select a pod."""
    return (each for each in objects.of_kind("NetworkPolicy") if _selects(each, pod))


def _consents(policies: list[Object], pod: Peer, other: Peer, direction: str, wanted: _Connection) -> bool:
    if isinstance(pod, Outside):
        return True
    ours = [each for each in policies if _selects(each, pod) and direction in _directions(each)]
    peers = "to" if direction == "Egress" else "from"
    return not ours or any(
        _is_peer(items(rule.get(peers)), other, pod.namespace) and _is_port(items(rule.get("ports")), wanted)
        for policy in ours
        for _, rule in tables(policy.spec.get(direction.lower()))
    )


def _selects(policy: Object, pod: Pod) -> bool:
    return policy.namespace == pod.namespace and matches(table(policy.spec.get("podSelector")), pod.labels)


def _directions(policy: Object) -> set[str]:
    named = policy.spec.get("policyTypes")
    if named is not None:
        return {str(each) for each in items(named)}
    return {"Ingress", "Egress"} if "egress" in policy.spec else {"Ingress"}


def _is_peer(peers: list[Any], other: Peer, namespace: str) -> bool:
    """Return whether a rule means `other`; a rule without peers means everybody."""
    return not peers or any(_means(table(each), other, namespace) for each in peers)


def _means(peer: Table, other: Peer, namespace: str) -> bool:
    if "ipBlock" in peer:
        return _in_block(table(peer["ipBlock"]), other.address)
    if isinstance(other, Outside) or not peer:
        return False
    if "namespaceSelector" in peer:
        labels = {_NAME: other.namespace, **other.namespace_labels}
        if not matches(table(peer["namespaceSelector"]), labels):
            return False
    elif other.namespace != namespace:
        return False
    return "podSelector" not in peer or matches(table(peer["podSelector"]), other.labels)


def _in_block(block: Table, address: str | None) -> bool:
    if address is None:
        return False
    try:
        found = ipaddress.ip_address(address)
        return found in ipaddress.ip_network(str(block.get("cidr")), strict=False) and not any(
            found in ipaddress.ip_network(str(each), strict=False) for each in items(block.get("except"))
        )
    except ValueError:
        return False


def _is_port(ports: list[Any], wanted: _Connection) -> bool:
    return not ports or any(_fits(table(each), wanted) for each in ports)


def _fits(rule: Table, wanted: _Connection) -> bool:
    if rule.get("protocol", "TCP") != wanted.protocol:
        return False
    named = rule.get("port")
    if named is None or named == wanted.port:
        return True
    if isinstance(named, str):
        return isinstance(wanted.target, Pod) and wanted.target.ports.get(named) == wanted.port
    first, last = number(named), number(rule.get("endPort"))
    return first is not None and last is not None and first <= wanted.port <= last
