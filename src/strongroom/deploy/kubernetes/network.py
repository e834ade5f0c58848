"""Who may connect to whom (threats DP-10): nobody, but for the lines below. Pure.

A kubelet's probes come from the node, which policies let through. Replicas reach the broker and DNS; the broker reaches
DNS and, with real TEEs, the service that collateral comes from; the front reaches the replicas and DNS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

from strongroom.deploy.description import Description, Front, Tee
from strongroom.deploy.kubernetes.broker import is_address, outside_address
from strongroom.deploy.kubernetes.model_server import has_rest
from strongroom.deploy.kubernetes.naming import (
    ADMIN_PORT,
    BROKER,
    FRONT,
    GRAMINE_PORT,
    GRPC_PORT,
    HEALTH_PORT,
    KBS_PORT,
    LABEL,
    METRICS_ADAPTER,
    MODEL_SERVER,
    REST_PORT,
    Object,
    head,
    object_name,
    selector,
)

API = "networking.k8s.io/v1"
BROKER_ADMIN: Final = {"strongroom/broker-admin": "true"}  # the label of pods from which people administer the broker
ADAPTER_PORT: Final = 6443
API_SERVER_PORTS: Final = (443, 6443)  # its Service's, and its own, to which the Service leads
COLLATERAL_PORTS: Final = (443, 8081)  # Intel's service and the clouds' PCCS; a PCCS of one's own
MONITORING_NAMESPACE: Final = "monitoring"  # where Prometheus runs
INGRESS_NAMESPACE: Final = "ingress-nginx"
GATEWAY_NAMESPACE: Final = "nginx-gateway"
CLIENT: Final = {"strongroom/client": "true"}  # the label of pods, in any namespace, that are clients
_DNS_PODS: Final = {"k8s-app": "kube-dns"}
_NODE_LOCAL_DNS: Final = "169.254.20.10/32"
_ANYWHERE: Final = "0.0.0.0/0"


def network_policies(description: Description) -> tuple[Object, ...]:
    """Return what may pass: first nothing, then each component's own lines."""
    everything = {f"{LABEL}/instance": description.name}
    found = [_policy(description, "default-deny", everything, None, ingress=(), egress=())]
    found.append(_model_server(description))
    if description.broker is None:
        found.append(_broker(description))
    if description.front is Front.NGINX:
        found.append(_front(description))
    if description.autoscaling:
        found.append(_metrics_adapter(description))
    return tuple(found)


def served_ports(description: Description) -> tuple[int, ...]:
    """Return the ports that clients use."""
    return (GRPC_PORT, REST_PORT) if has_rest(description) else (GRPC_PORT,)


def _model_server(description: Description) -> Object:
    ports = served_ports(description)
    # Controllers of an Ingress or Gateway run in namespaces of their own; with nginx, it alone may connect.
    peers = [_pods(description, FRONT)] if description.front is Front.NGINX else _clients(description)
    ingress = [_rule("from", peers, ports)]
    if has_rest(description):
        ingress.append(_rule("from", [_in_namespace(MONITORING_NAMESPACE)], (REST_PORT,)))
    if description.autoscaling:
        ingress.append(_rule("from", [_pods(description, METRICS_ADAPTER)], (HEALTH_PORT,)))
    egress = [_dns(), _to_broker(description)]
    return _policy(
        description, MODEL_SERVER, selector(description, MODEL_SERVER), MODEL_SERVER, ingress=ingress, egress=egress
    )


def _to_broker(description: Description) -> Object:
    if description.broker is None:
        return _rule("to", [_pods(description, BROKER)], (KBS_PORT, GRAMINE_PORT))
    host, number = outside_address(description.broker)
    block = str(ipaddress.ip_network(host)) if is_address(host) else _ANYWHERE  # a policy cannot name a host
    return _rule("to", [{"ipBlock": {"cidr": block}}], (number,))


def _broker(description: Description) -> Object:
    ingress = [
        _rule("from", [_pods(description, MODEL_SERVER)], (KBS_PORT, GRAMINE_PORT)),
        _rule("from", [_labelled(BROKER_ADMIN), _in_namespace(MONITORING_NAMESPACE)], (ADMIN_PORT,)),
    ]
    egress = [_dns()]
    if description.tee is not Tee.SIMULATED:
        egress.append(_rule("to", [{"ipBlock": {"cidr": _ANYWHERE}}], COLLATERAL_PORTS))
    return _policy(description, BROKER, selector(description, BROKER), BROKER, ingress=ingress, egress=egress)


def _front(description: Description) -> Object:
    ports = served_ports(description)
    ingress = [_rule("from", [], ports)]
    egress = [_dns(), _rule("to", [_pods(description, MODEL_SERVER)], ports)]
    return _policy(description, FRONT, selector(description, FRONT), FRONT, ingress=ingress, egress=egress)


def _metrics_adapter(description: Description) -> Object:
    """Return what the adapter may: the API server has no pod to name, so it proves itself by its certificate."""
    ingress = [_rule("from", [], (ADAPTER_PORT,))]
    egress = [
        _dns(),
        _rule("to", [_pods(description, MODEL_SERVER)], (HEALTH_PORT,)),
        _rule("to", [{"ipBlock": {"cidr": _ANYWHERE}}], API_SERVER_PORTS),
    ]
    return _policy(
        description, METRICS_ADAPTER, selector(description, METRICS_ADAPTER), METRICS_ADAPTER,
        ingress=ingress, egress=egress,
    )  # fmt: skip


def _policy(
    description: Description,
    name: str,
    pods: Mapping[str, str],
    component: str | None,
    *,
    ingress: Iterable[Object],
    egress: Iterable[Object],
) -> Object:
    incoming, outgoing = list(ingress), list(egress)
    spec: Object = {"podSelector": {"matchLabels": dict(pods)}, "policyTypes": ["Ingress", "Egress"]}
    if incoming:
        spec["ingress"] = incoming
    if outgoing:
        spec["egress"] = outgoing
    return {
        **head(description, API, "NetworkPolicy", object_name(description, name), component=component),
        "spec": spec,
    }


def _rule(direction: str, peers: list[Object], ports: Iterable[int]) -> Object:
    """Return a rule; without peers it means everybody."""
    listed = {"ports": [{"protocol": "TCP", "port": each} for each in ports]}
    return {direction: peers, **listed} if peers else listed


def _dns() -> Object:
    peers: list[Object] = [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": dict(_DNS_PODS)}},
        {"ipBlock": {"cidr": _NODE_LOCAL_DNS}},  # a cache on the node, where there is one
    ]
    return {"to": peers, "ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")]}


def _pods(description: Description, component: str) -> Object:
    return _labelled(selector(description, component))


def _labelled(labels: Mapping[str, str]) -> Object:
    """Return the pods of this namespace that carry these labels."""
    return {"podSelector": {"matchLabels": dict(labels)}}


def _clients(description: Description) -> list[Object]:
    """Return who may connect where no front of ours stands: pods that carry the label of a client, and a controller."""
    found: list[Object] = [{"namespaceSelector": {}, "podSelector": {"matchLabels": dict(CLIENT)}}]
    if description.front is Front.INGRESS:
        found.append(_in_namespace(INGRESS_NAMESPACE))
    if description.front is Front.GATEWAY:
        name = {"gateway.networking.k8s.io/gateway-name": object_name(description, FRONT)}
        found += [_labelled(name), _in_namespace(GATEWAY_NAMESPACE)]
    return found


def _in_namespace(name: str) -> Object:
    """Return the pods of a namespace; Kubernetes sets this label itself since 1.21, before it people do."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
