"""What every NetworkPolicy of ours is made of: rules, whom they name, and the lines that each of them needs. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.broker import is_address, outside_address
from strongroom.deploy.kubernetes.naming import (
    BROKER,
    GRAMINE_PORT,
    KBS_PORT,
    Object,
    head,
    object_name,
    selector,
)

API: Final = "networking.k8s.io/v1"
API_SERVER_PORTS: Final = (443, 6443)  # its Service's, and its own, to which the Service leads
BROKER_PORTS: Final = (KBS_PORT, GRAMINE_PORT)
_DNS_PODS: Final = {"k8s-app": "kube-dns"}
_NODE_LOCAL_DNS: Final = "169.254.20.10/32"
_ANYWHERE: Final = "0.0.0.0/0"


def policy(
    description: Description,
    name: str,
    pods: Mapping[str, str],
    component: str | None = None,
    *,
    ingress: Sequence[Object] = (),
    egress: Sequence[Object] = (),
) -> Object:
    """Return the policy of the pods with these labels: nothing passes but by these rules."""
    rules = {direction: list(found) for direction, found in (("ingress", ingress), ("egress", egress)) if found}
    return {
        **head(description, API, "NetworkPolicy", object_name(description, name), component=component),
        "spec": {"podSelector": {"matchLabels": dict(pods)}, "policyTypes": ["Ingress", "Egress"], **rules},
    }


def rule(direction: str, peers: Sequence[Object], ports: Iterable[int]) -> Object:
    """Return a rule; without peers it means everybody."""
    listed = {"ports": [{"protocol": "TCP", "port": each} for each in ports]}
    return {direction: list(peers), **listed} if peers else listed


def dns() -> Object:
    """Return the rule by which names are asked for."""
    peers: list[Object] = [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(_DNS_PODS)}},
        {"ipBlock": {"cidr": _NODE_LOCAL_DNS}},  # a cache on the node, where there is one
    ]
    return {"to": peers, "ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")]}


def to_broker(description: Description) -> Object:
    """Return the rule by which keys are asked for: of the broker in this namespace, or of one outside."""
    if description.broker is None:
        return rule("to", [pods_of(description, BROKER)], BROKER_PORTS)
    host, number = outside_address(description.broker)
    # A policy cannot name a host.
    return rule("to", [_block(str(ipaddress.ip_network(host)) if is_address(host) else _ANYWHERE)], (number,))


def to_api_server() -> Object:
    """Return the rule by which the API server is asked: it has no pod to name."""
    return to_anywhere(API_SERVER_PORTS)


def to_anywhere(ports: Iterable[int]) -> Object:
    """Return the rule that leads to these ports of every address."""
    return rule("to", [_block(_ANYWHERE)], ports)


def pods_of(description: Description, component: str) -> Object:
    """Return the pods of a component."""
    return labelled(selector(description, component))


def labelled(labels: Mapping[str, str]) -> Object:
    """Return the pods of this namespace that carry these labels."""
    return {"podSelector": {"matchLabels": dict(labels)}}


def _block(cidr: str) -> Object:
    return {"ipBlock": {"cidr": cidr}}
