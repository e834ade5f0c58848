"""Who may connect to whom in a job (threat DP-10): driver and executors to each other and to the broker. Pure.

The driver alone reaches the API server, which no policy can name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.broker import is_address, outside_address
from strongroom.deploy.kubernetes.naming import (
    BROKER,
    GRAMINE_PORT,
    KBS_PORT,
    LABEL,
    Object,
    head,
    object_name,
    selector,
)
from strongroom.deploy.kubernetes.network import API, API_SERVER_PORTS
from strongroom.deploy.spark.words import DRIVER, EXECUTOR
from strongroom.sparkjobs.properties import BLOCK_PORT, DRIVER_PORT

_ANYWHERE = "0.0.0.0/0"
_NODE_LOCAL_DNS = "169.254.20.10/32"


def policies(description: Description, job: Description, parts: Sequence[str]) -> tuple[Object, ...]:
    """Return what may pass. `description`: with the broker's name; `job`: with the job's."""
    everything = {f"{LABEL}/instance": job.name}
    asked = [_dns(), _to_broker(description)]
    found = [_policy(job, "default-deny", everything, None)]
    if EXECUTOR in parts:
        driver, executors = _pods(job, DRIVER), _pods(job, EXECUTOR)
        api = _rule("to", [{"ipBlock": {"cidr": _ANYWHERE}}], API_SERVER_PORTS)
        found += [
            _policy(job, DRIVER, selector(job, DRIVER), DRIVER,
                    ingress=[_rule("from", [executors], (DRIVER_PORT, BLOCK_PORT))],
                    egress=[*asked, api, _rule("to", [executors], (BLOCK_PORT,))]),
            _policy(job, EXECUTOR, selector(job, EXECUTOR), EXECUTOR,
                    ingress=[_rule("from", [driver, executors], (BLOCK_PORT,))],
                    egress=[*asked, _rule("to", [driver], (DRIVER_PORT, BLOCK_PORT)),
                            _rule("to", [executors], (BLOCK_PORT,))]),
        ]  # fmt: skip
    else:
        found.append(_policy(job, DRIVER, selector(job, DRIVER), DRIVER, egress=asked))
    if description.broker is None:
        found.append(_broker_admits(description, job))
    return tuple(found)


def _broker_admits(description: Description, job: Description) -> Object:
    """Return the policy by which the broker of this namespace hears the job's pods as well."""
    return {
        **head(job, API, "NetworkPolicy", object_name(job, "to-broker")),
        "spec": {
            "podSelector": {"matchLabels": selector(description, BROKER)},
            "policyTypes": ["Ingress"],
            "ingress": [
                _rule(
                    "from",
                    [{"podSelector": {"matchLabels": {f"{LABEL}/instance": job.name}}}],
                    (KBS_PORT, GRAMINE_PORT),
                )
            ],
        },
    }


def _to_broker(description: Description) -> Object:
    if description.broker is None:
        return _rule("to", [_pods(description, BROKER)], (KBS_PORT, GRAMINE_PORT))
    host, number = outside_address(description.broker)
    block = str(ipaddress.ip_network(host)) if is_address(host) else _ANYWHERE  # a policy cannot name a host
    return _rule("to", [{"ipBlock": {"cidr": block}}], (number,))


def _dns() -> Object:
    peers: list[Object] = [
        {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}},
        {"ipBlock": {"cidr": _NODE_LOCAL_DNS}},
    ]
    return {"to": peers, "ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")]}


def _policy(
    job: Description, name: str, pods: dict[str, str], component: str | None, *,
    ingress: Iterable[Object] = (), egress: Iterable[Object] = (),
) -> Object:  # fmt: skip
    rules = {name: list(found) for name, found in (("ingress", ingress), ("egress", egress)) if found}
    return {
        **head(job, API, "NetworkPolicy", object_name(job, name), component=component),
        "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": ["Ingress", "Egress"], **rules},
    }


def _rule(direction: str, peers: list[Object], ports: Iterable[int]) -> Object:
    return {direction: peers, "ports": [{"protocol": "TCP", "port": each} for each in ports]}


def _pods(description: Description, component: str) -> Object:
    return {"podSelector": {"matchLabels": selector(description, component)}}
