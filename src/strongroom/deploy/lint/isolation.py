"""Rules on what NetworkPolicies leave open (threat DP-10). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.network import Pod, isolated
from strongroom.deploy.lint.objects import Object, Objects, items, table, tables
from strongroom.deploy.lint.selectors import matches

K20: Final = Rule(id="K20", level=Level.ERROR, title="no NetworkPolicy says who may connect to a pod, or whom it may")
K21: Final = Rule(id="K21", level=Level.ERROR, title="a NetworkPolicy opens more than it should")

# Whom everybody may connect to: the front, and the metrics adapter, since no policy can name the API server.
_OPEN: Final = frozenset({"front", "metrics-adapter"})
_EVERYBODY: Final = frozenset({"0.0.0.0/0", "::/0"})


def open_pods(objects: Objects) -> Iterator[Finding]:
    """K20: without a policy every pod of the cluster may connect, and a pod that was taken over connects anywhere."""
    policies = list(objects.of_kind("NetworkPolicy"))
    for pod in objects.workloads:
        missing = [each for each in ("Ingress", "Egress") if not isolated(policies, Pod.of(pod), each)]
        if missing:
            yield pod.finding(K20, pod.place, f"no policy limits its {' and '.join(missing).lower()}",
                              "Add a NetworkPolicy that selects it, with both policyTypes.")  # fmt: skip


def wide_policies(objects: Objects) -> Iterator[Finding]:
    """K21: keys are asked for by replicas, not by whoever has an address in the cluster."""
    for policy in objects.of_kind("NetworkPolicy"):
        yield from _wide_egress(policy)
        components = {pod.component for pod in objects.beside(policy)
                      if matches(table(policy.spec.get("podSelector")), pod.labels)}  # fmt: skip
        closed = sorted(each for each in components if each is not None and each not in _OPEN)
        for index, rule in tables(policy.spec.get("ingress")):
            if closed and _is_everybody(rule, "from"):
                yield policy.finding(K21, f"spec.ingress[{index}]", f"everybody may connect to {', '.join(closed)}",
                                     "Name the pods that may, by their labels.")  # fmt: skip


def _wide_egress(policy: Object) -> Iterator[Finding]:
    for index, rule in tables(policy.spec.get("egress")):
        if _is_everybody(rule, "to") and not items(rule.get("ports")):
            yield policy.finding(K21, f"spec.egress[{index}]", "its pods may connect to anything",
                                 "Name peers and ports.")  # fmt: skip


def _is_everybody(rule: object, key: str) -> bool:
    peers = items(table(rule).get(key))
    return not peers or any(
        table(table(each).get("ipBlock")).get("cidr") in _EVERYBODY
        or (table(each).get("namespaceSelector") == {} and not table(table(each).get("podSelector")))
        for each in peers
    )


RULES: Final = (K20, K21)
CHECKS: Final = (open_pods, wide_policies)
