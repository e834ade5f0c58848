"""Who may connect to whom (threats DP-10): nobody, but for the lines below. Pure.

A kubelet's probes come from the node, which policies let through. Replicas reach the broker and DNS; the broker reaches
DNS and, with real TEEs, the service that collateral comes from; the front reaches the replicas and DNS.
"""

from __future__ import annotations

from typing import Final

from strongroom.deploy.description import Description, Front, Tee
from strongroom.deploy.kubernetes.model_server import has_rest
from strongroom.deploy.kubernetes.naming import (
    ADMIN_PORT,
    BROKER,
    FRONT,
    GRPC_PORT,
    HEALTH_PORT,
    LABEL,
    METRICS_ADAPTER,
    MODEL_SERVER,
    REST_PORT,
    Object,
    object_name,
    selector,
)
from strongroom.deploy.kubernetes.rules import (
    BROKER_PORTS,
    dns,
    labelled,
    pods_of,
    policy,
    rule,
    to_anywhere,
    to_api_server,
    to_broker,
)

BROKER_ADMIN: Final = {"strongroom/broker-admin": "true"}  # the label of pods from which people administer the broker
ADAPTER_PORT: Final = 6443
COLLATERAL_PORTS: Final = (443, 8081)  # Intel's service and the clouds' PCCS; a PCCS of one's own
MONITORING_NAMESPACE: Final = "monitoring"  # where Prometheus runs
INGRESS_NAMESPACE: Final = "ingress-nginx"
GATEWAY_NAMESPACE: Final = "nginx-gateway"
CLIENT: Final = {"strongroom/client": "true"}  # the label of pods, in any namespace, that are clients


def network_policies(description: Description) -> tuple[Object, ...]:
    """Return what may pass: first nothing, then each component's own lines."""
    everything = {f"{LABEL}/instance": description.name}
    found = [policy(description, "default-deny", everything)]
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
    peers = [pods_of(description, FRONT)] if description.front is Front.NGINX else _clients(description)
    ingress = [rule("from", peers, ports)]
    if has_rest(description):
        ingress.append(rule("from", [_in_namespace(MONITORING_NAMESPACE)], (REST_PORT,)))
    if description.autoscaling:
        ingress.append(rule("from", [pods_of(description, METRICS_ADAPTER)], (HEALTH_PORT,)))
    egress = [dns(), to_broker(description)]
    return policy(
        description, MODEL_SERVER, selector(description, MODEL_SERVER), MODEL_SERVER, ingress=ingress, egress=egress
    )


def _broker(description: Description) -> Object:
    ingress = [
        rule("from", [pods_of(description, MODEL_SERVER)], BROKER_PORTS),
        rule("from", [labelled(BROKER_ADMIN), _in_namespace(MONITORING_NAMESPACE)], (ADMIN_PORT,)),
    ]
    egress = [dns()]
    if description.tee is not Tee.SIMULATED:
        egress.append(to_anywhere(COLLATERAL_PORTS))
    return policy(description, BROKER, selector(description, BROKER), BROKER, ingress=ingress, egress=egress)


def _front(description: Description) -> Object:
    ports = served_ports(description)
    ingress = [rule("from", [], ports)]
    egress = [dns(), rule("to", [pods_of(description, MODEL_SERVER)], ports)]
    return policy(description, FRONT, selector(description, FRONT), FRONT, ingress=ingress, egress=egress)


def _metrics_adapter(description: Description) -> Object:
    """Return what the adapter may: the API server has no pod to name, so it proves itself by its certificate."""
    ingress = [rule("from", [], (ADAPTER_PORT,))]
    egress = [dns(), rule("to", [pods_of(description, MODEL_SERVER)], (HEALTH_PORT,)), to_api_server()]
    return policy(
        description, METRICS_ADAPTER, selector(description, METRICS_ADAPTER), METRICS_ADAPTER,
        ingress=ingress, egress=egress,
    )  # fmt: skip


def _clients(description: Description) -> list[Object]:
    """Return who may connect where no front of ours stands: pods that carry the label of a client, and a controller."""
    found: list[Object] = [{"namespaceSelector": {}, "podSelector": {"matchLabels": dict(CLIENT)}}]
    if description.front is Front.INGRESS:
        found.append(_in_namespace(INGRESS_NAMESPACE))
    if description.front is Front.GATEWAY:
        name = {"gateway.networking.k8s.io/gateway-name": object_name(description, FRONT)}
        found += [labelled(name), _in_namespace(GATEWAY_NAMESPACE)]
    return found


def _in_namespace(name: str) -> Object:
    """Return the pods of a namespace; Kubernetes sets this label itself since 1.21, before it people do."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
