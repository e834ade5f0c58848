"""Kubernetes objects as the rules see them: pods found in every kind of workload, whatever the input's shape. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from strongroom.deploy.lint.findings import Finding, Rule

Table: TypeAlias = Mapping[str, Any]
NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
FINITE: Final = frozenset({"Job", "CronJob"})  # their pods end
_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"), "StatefulSet": ("spec", "template"), "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"), "ReplicationController": ("spec", "template"), "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}  # fmt: skip


def table(value: object) -> Table:
    """Return a mapping, an empty one where there is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Any]:
    """Return a list, an empty one where there is none."""
    return value if isinstance(value, list) else list(value) if isinstance(value, tuple) else []


def tables(value: object) -> Iterator[tuple[int, Table]]:
    """Yield the mappings of a list with their places."""
    for index, each in enumerate(items(value)):
        yield index, table(each)


def number(value: object) -> int | None:
    """Return an integer that is no truth value."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """One object: what it is called, and what it says."""

    value: Table

    @property
    def kind(self) -> str:
        """Its kind, empty if it says none."""
        return str(self.value.get("kind") or "")

    @property
    def metadata(self) -> Table:
        """Its metadata."""
        return table(self.value.get("metadata"))

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.metadata.get("name") or self.metadata.get("generateName") or "")

    @property
    def namespace(self) -> str:
        """Its namespace; empty for whatever namespace it is applied to."""
        return str(self.metadata.get("namespace") or "")

    @property
    def labels(self) -> Table:
        """Its labels."""
        return table(self.metadata.get("labels"))

    @property
    def annotations(self) -> Table:
        """Its annotations."""
        return table(self.metadata.get("annotations"))

    @property
    def spec(self) -> Table:
        """Its spec."""
        return table(self.value.get("spec"))

    @property
    def title(self) -> str:
        """As findings name it: kind/namespace/name."""
        return "/".join(each for each in (self.kind or "object", self.namespace, self.name or "?") if each)

    def finding(self, rule: Rule, place: str, why: str, fix: str) -> Finding:
        """Return a finding in this object."""
        return Finding(rule=rule, object=self.title, place=place, why=why, fix=fix)


@dataclass(frozen=True, slots=True, eq=False)
class Container:
    """One container of a pod."""

    place: str
    value: Table
    initial: bool  # one that ends before the pod starts

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.value.get("name") or "?")

    @property
    def security(self) -> Table:
        """Its securityContext."""
        return table(self.value.get("securityContext"))

    @property
    def words(self) -> list[str]:
        """Its command and arguments."""
        return [str(each) for key in ("command", "args") for each in items(self.value.get(key))]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Something that makes pods: its object, the pods' labels and their spec."""

    object: Object
    labels: Table
    spec: Table
    place: str  # of the pod's spec

    @property
    def component(self) -> str | None:
        """Which part of Strongroom its pods are, None for anything else."""
        return str(self.labels.get(COMPONENT)) if self.labels.get(NAME) == "strongroom" else None

    @property
    def security(self) -> Table:
        """The pod's securityContext."""
        return table(self.spec.get("securityContext"))

    @property
    def ends(self) -> bool:
        """Whether its pods do their work and end: a job, or a pod that is not started again."""
        return self.object.kind in FINITE or self.spec.get("restartPolicy") in {"Never", "OnFailure"}

    @property
    def replicas(self) -> int:
        """How many pods there are to be."""
        found = number(self.object.spec.get("replicas"))
        return 1 if found is None else found

    def containers(self) -> Iterator[Container]:
        """Yield every container, those that run first before the others."""
        for key in ("initContainers", "containers", "ephemeralContainers"):
            for index, value in tables(self.spec.get(key)):
                initial = key == "initContainers" and value.get("restartPolicy") != "Always"
                yield Container(f"{self.place}.{key}[{index}]", value, initial)

    def finding(self, rule: Rule, place: str, why: str, fix: str) -> Finding:
        """Return a finding in its object."""
        return self.object.finding(rule, place, why, fix)


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """All objects of one deployment."""

    all: tuple[Object, ...]
    workloads: tuple[Workload, ...]

    @classmethod
    def of(cls, values: Iterable[Table]) -> Objects:
        """Take objects in; a List is its members."""
        found = tuple(Object(each) for value in values for each in _members(value))
        workloads = tuple(each for one in found if (each := _workload(one)) is not None)
        return cls(found, workloads)

    def of_kind(self, *kinds: str) -> Iterator[Object]:
        """Yield the objects of these kinds."""
        return (each for each in self.all if each.kind in kinds)

    def beside(self, other: Object) -> list[Workload]:
        """Return the workloads of an object's namespace."""
        return [each for each in self.workloads if each.object.namespace == other.namespace]


def _members(value: object) -> Iterator[Table]:
    found = table(value)
    if str(found.get("kind", "")).endswith("List") and "items" in found:
        yield from (table(each) for each in items(found["items"]))
    else:
        yield found


def _workload(value: Object) -> Workload | None:
    steps = _TEMPLATES.get(value.kind)
    if steps is None:
        return None
    template = value.value
    for step in steps:
        template = table(template.get(step))
    labels = table(table(template.get("metadata")).get("labels"))
    return Workload(value, labels, table(template.get("spec")), ".".join([*steps, "spec"]))
