"""A pod of the old version, started once more to see the broker refuse it. Pure.

It is a replica in all but two things: no ReplicaSet takes it for its own (no template hash), and it can never become
ready (a readiness gate that nobody opens), so no request ever reaches it, whatever the broker decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from strongroom.deploy.cluster.objects import CANARY, dig, text
from strongroom.deploy.cluster.replicas import GRANTED, address_of
from strongroom.deploy.description import Description
from strongroom.deploy.kubernetes.naming import object_name

GATE: Final = "strongroom/never"


class Verdict(StrEnum):
    """What the broker did with the old version."""

    REFUSED = "refused"
    ADMITTED = "admitted"
    NOT_ASKED = "not asked"


def canary_name(description: Description) -> str:
    """Return the pod's name."""
    return object_name(description, "old-version")


def canary_of(description: Description, deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod that a Deployment's template describes, as a canary."""
    template = dig(deployment, "spec", "template", kind=dict) or {}
    labels = dig(template, "metadata", "labels", kind=dict) or {}
    spec = dig(template, "spec", kind=dict) or {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": canary_name(description),
            "namespace": description.namespace,
            "labels": {**labels, CANARY: "true"},
        },
        "spec": {
            **spec,
            "restartPolicy": "Never",
            "readinessGates": [{"conditionType": GATE}],
            "terminationGracePeriodSeconds": 1,
        },
    }


def verdict(
    decisions: Iterable[Mapping[str, Any]], measurements: Iterable[str], *, address: str
) -> tuple[Verdict, str]:
    """Return what became of the old version, and the code of the refusal; `decisions` are those since it started.

    Counted are decisions about an old measurement, and those whose evidence was not even looked at that went to the
    canary's own address. A single release is an admission, whatever was refused besides.
    """
    old = set(measurements)
    refused = ""
    for line in decisions:
        evidence = dig(line, "evidence", kind=dict) or {}
        measured = text(evidence, "mr_enclave") or text(evidence, "mr_td")
        mine = bool(address) and address_of(text(line, "peer")) == address
        if not (measured in old if measured else mine):
            continue
        if line.get("decision") == GRANTED:
            return Verdict.ADMITTED, ""
        reasons = line.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else {}
        refused = text(first, "code") or "refused"
    return (Verdict.REFUSED, refused) if refused else (Verdict.NOT_ASKED, "")


def refusals(decisions: Iterable[Mapping[str, Any]], measurement: str) -> int:
    """Return how often the broker refused a measurement."""
    count = 0
    for line in decisions:
        evidence = dig(line, "evidence", kind=dict) or {}
        measured = text(evidence, "mr_enclave") or text(evidence, "mr_td")
        count += bool(measurement) and measured == measurement and line.get("decision") != GRANTED
    return count
