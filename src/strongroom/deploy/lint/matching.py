"""Rules on what points at what: selectors, ports, disruption budgets, autoscalers (threat DP-08). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from strongroom.deploy.lint.findings import Finding, Level, Rule
from strongroom.deploy.lint.objects import COMPONENT, NAME, Object, Objects, Workload, items, number, table, tables
from strongroom.deploy.lint.selectors import matches, selects

K14: Final = Rule(id="K14", level=Level.ERROR, title="a selector does not mean exactly the pods it should")
K15: Final = Rule(id="K15", level=Level.ERROR, title="a Service's port leads to no port of its pods")
K22: Final = Rule(id="K22", level=Level.ERROR, title="a disruption budget lets no pod be moved, or protects none")
K23: Final = Rule(id="K23", level=Level.ERROR, title="an autoscaler has nothing to scale or to go by")

_INSTANCE: Final = "app.kubernetes.io/instance"
_OWNERS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})


def owners(objects: Objects) -> Iterator[Finding]:
    """K14: a Deployment whose selector fits another's pods fights with it over them."""
    for pod in objects.workloads:
        if pod.object.kind not in _OWNERS:
            continue
        selector = pod.object.spec.get("selector")
        if not matches(selector, pod.labels):
            yield pod.finding(K14, "spec.selector", "it does not select its own pods",
                              "Use the labels of spec.template.metadata.")  # fmt: skip
        others = [each for each in objects.beside(pod.object) if each is not pod and matches(selector, each.labels)]
        for other in others:
            yield pod.finding(K14, "spec.selector", f"it also selects the pods of {other.object.title}",
                              f"Select by labels that only its pods have, as {_INSTANCE} and {COMPONENT}.")  # fmt: skip


def services(objects: Objects) -> Iterator[Finding]:
    """K14, K15: a Service sends its callers to every pod that it selects, and to nobody else."""
    for service in objects.of_kind("Service"):
        wanted = table(service.spec.get("selector"))
        if not wanted or service.spec.get("type") == "ExternalName":
            continue
        found = [each for each in objects.beside(service) if selects(wanted, each.labels)]
        yield from _bijection(service, found)
        for pod in found[:1]:
            for index, port in tables(service.spec.get("ports")):
                target = port.get("targetPort", port.get("port"))
                if not _has_port(pod, target, str(port.get("protocol", "TCP"))):
                    yield service.finding(K15, f"spec.ports[{index}]", f"no container of {pod.object.title} has the "
                                          f"port {target}", "Name a port of the container.")  # fmt: skip


def _bijection(service: Object, found: list[Workload]) -> Iterator[Finding]:
    """Yield what keeps a Service from meaning the pods of exactly one workload."""
    fix = f"Select by {_INSTANCE} and {COMPONENT}, as the pods are labelled."
    if not found:
        yield service.finding(K14, "spec.selector", "it selects no pod of these objects", fix)
    elif len({_meaning(each) for each in found}) > 1:
        titles = ", ".join(each.object.title for each in found)
        yield service.finding(K14, "spec.selector", f"it selects the pods of {titles}", fix)


def _meaning(pod: Workload) -> object:
    """Return what tells one group of pods from others: two Deployments of one component serve one Service together."""
    component = pod.labels.get(COMPONENT) if NAME in pod.labels else None
    return (pod.labels.get(_INSTANCE), component) if component else pod.object.title


def _has_port(pod: Workload, target: object, protocol: str) -> bool:
    for container in pod.containers():
        for _, port in tables(container.value.get("ports")):
            named = port.get("name") if isinstance(target, str) else port.get("containerPort")
            if named == target and str(port.get("protocol", "TCP")) == protocol:
                return True
    return False


def budgets(objects: Objects) -> Iterator[Finding]:
    """K22: a node that is drained waits for ever on a budget that allows no disruption."""
    for budget in objects.of_kind("PodDisruptionBudget"):
        found = [each for each in objects.beside(budget) if matches(budget.spec.get("selector"), each.labels)]
        if not found:
            yield budget.finding(K22, "spec.selector", "it selects no pod of these objects", "Use the pods' labels.")
            continue
        least, most = budget.spec.get("minAvailable"), budget.spec.get("maxUnavailable")
        wanted = max(sum(pod.replicas for pod in found), *(_floor(objects, pod) for pod in found))
        kept = number(least)
        if most in (0, "0%") or least == "100%" or (kept is not None and kept >= wanted):
            yield budget.finding(K22, "spec", f"of {wanted} pods none may be disrupted",
                                 "Set maxUnavailable: 1, or have more replicas.")  # fmt: skip


def _floor(objects: Objects, pod: Workload) -> int:
    """Return how many pods an autoscaler keeps of a workload, 0 if it has none."""
    for scaler in objects.of_kind("HorizontalPodAutoscaler"):
        if scaler.namespace == pod.object.namespace and _target(scaler) == (pod.object.kind, pod.object.name):
            return number(scaler.spec.get("minReplicas")) or 1
    return 0


def _target(scaler: Object) -> tuple[str, str]:
    target = table(scaler.spec.get("scaleTargetRef"))
    return str(target.get("kind")), str(target.get("name"))


def autoscalers(objects: Objects) -> Iterator[Finding]:
    """K23: utilisation is a share of what was requested, so without requests there is none."""
    for scaler in objects.of_kind("HorizontalPodAutoscaler"):
        targets = [each for each in objects.beside(scaler) if (each.object.kind, each.object.name) == _target(scaler)]
        if not targets:
            kind, name = _target(scaler)
            yield scaler.finding(K23, "spec.scaleTargetRef", f"there is no {kind} {name} among these objects",
                                 "Name what is to be scaled.")  # fmt: skip
        for pod in targets:
            yield from _countable(scaler, pod)
        if (number(scaler.spec.get("minReplicas")) or 1) > (number(scaler.spec.get("maxReplicas")) or 1):
            yield scaler.finding(K23, "spec.minReplicas", "it is above maxReplicas", "Let min be at most max.")


def _countable(scaler: Object, pod: Workload) -> Iterator[Finding]:
    names = {
        str(table(metric.get("resource")).get("name"))
        for _, metric in tables(scaler.spec.get("metrics"))
        if metric.get("type") == "Resource"
    }
    if "targetCPUUtilizationPercentage" in scaler.spec:
        names.add("cpu")
    for name in sorted(names):
        if any(name not in _requested(each.value) for each in pod.containers() if not each.initial):
            yield scaler.finding(K23, "spec.metrics", f"{pod.object.title} does not request {name} everywhere",
                                 f"Set resources.requests.{name} in each container.")  # fmt: skip
    if "replicas" in pod.object.spec and not items(scaler.spec.get("metrics")) and not names:
        yield scaler.finding(K23, "spec.metrics", "it names no metric", "Name one.")


def _requested(container: object) -> set[str]:
    found = table(table(container).get("resources"))
    return {*table(found.get("requests")), *table(found.get("limits"))}


RULES: Final = (K14, K15, K22, K23)
CHECKS: Final = (owners, services, budgets, autoscalers)
