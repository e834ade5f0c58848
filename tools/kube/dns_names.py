"""Which names a cluster's Services have. Pure. Source: Kubernetes DNS-Based Service Discovery 1.1.0.

`SERVICE.NAMESPACE.svc.DOMAIN` is the Service's address, or without one (headless) the addresses of its ready pods;
`POD.SERVICE.NAMESPACE.svc.DOMAIN` one named pod of a headless Service; an ExternalName is another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kube.dns_message import CNAME, A, Code, Question, Record

Objects = dict[tuple[str, str], Mapping[str, Any]]  # by namespace and name


@dataclass
class Zone:
    """What the API server has told about Services and Endpoints so far."""

    domain: str
    services: Objects = field(default_factory=dict)
    endpoints: Objects = field(default_factory=dict)

    def apply(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take in one event of a watch: ADDED, MODIFIED or DELETED, and the object."""
        if event.get("type") not in {"ADDED", "MODIFIED", "DELETED"}:
            return
        held = self.services if kind == "services" else self.endpoints
        meta = event["object"]["metadata"]
        key = (meta["namespace"], meta["name"])
        if event["type"] == "DELETED":
            held.pop(key, None)
        else:
            held[key] = event["object"]

    def resolve(self, question: Question) -> tuple[Code, list[Record]]:
        """Return what to answer; names outside the cluster are refused at once, since nobody here knows them."""
        suffix = f".svc.{self.domain}"
        if not question.name.endswith(suffix):
            inside = question.name == self.domain or question.name.endswith(f".{self.domain}")
            return (Code.NO_SUCH_NAME if inside else Code.REFUSED), []
        labels = question.name[: -len(suffix)].split(".")
        if len(labels) not in {2, 3}:
            return Code.NO_SUCH_NAME, []
        found = self._records(question.name, labels)
        if found is None:
            return Code.NO_SUCH_NAME, []
        return Code.OK, [record for record in found if record.kind in {question.kind, CNAME}]

    def _records(self, name: str, labels: list[str]) -> list[Record] | None:
        key = (labels[-1], labels[-2])
        spec = self.services.get(key, {}).get("spec")
        if spec is None:
            return None
        if len(labels) == 3:
            return self._pod(name, key, labels[0])
        if spec.get("type") == "ExternalName":
            return [Record(name, CNAME, spec["externalName"])]
        if spec.get("clusterIP") not in {None, "", "None"}:
            return [Record(name, A, spec["clusterIP"])]
        return [Record(name, A, each["ip"]) for each in self._addresses(key)]

    def _pod(self, name: str, key: tuple[str, str], host: str) -> list[Record] | None:
        found = [Record(name, A, each["ip"]) for each in self._addresses(key) if each.get("hostname") == host]
        return found or None

    def _addresses(self, key: tuple[str, str]) -> list[Mapping[str, Any]]:
        endpoints = self.endpoints.get(key, {})
        unready = self.services[key]["spec"].get("publishNotReadyAddresses", False)
        found: list[Mapping[str, Any]] = []
        for subset in endpoints.get("subsets") or ():
            found += subset.get("addresses") or ()
            found += (subset.get("notReadyAddresses") or ()) if unready else ()
        return found
