"""Show every rendering for Kubernetes 1.20 to the real API server, which checks it and keeps nothing.

Kinds that come with other software (Gateway API, Prometheus' operator) are not known to a bare cluster and are counted
as such: their schemas are checked elsewhere.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

from kube.cluster import Cluster
from kube.sandbox import SandboxFailed
from strongroom.deploy.clouds import names, profile
from strongroom.deploy.description import Autoscaling, Description, Engine, Front, Model, Size, Tee
from strongroom.deploy.kubernetes import objects

FOREIGN: Final = ("gateway.networking.k8s.io", "monitoring.coreos.com")
TRUST: Final = {"ca_cert.pem": "-", "owner_public.pem": "-"}
BROKERS: Final = (None, "broker.example.com:4433", "https://192.0.2.7:8080")


def descriptions() -> Iterator[tuple[str, Description]]:
    """Yield every profile with every TEE, engine and front; sizes and places of the broker take turns."""
    sizes, brokers = itertools.cycle(Size), itertools.cycle(BROKERS)
    for cloud, tee, engine, front in itertools.product(names(), Tee, Engine, Front):
        if engine is Engine.TENSORFLOW_SERVING and tee is not Tee.SGX:
            continue
        label = f"{cloud} {tee.value} {engine.value} {front.value}"
        yield label, Description(
            name="dry-run", namespace="dry-run", cloud=cloud, tee=tee, engine=engine, front=front, size=next(sizes),
            broker=next(brokers), kubernetes=(1, 20), models=(Model(name="m", path="models/m"),),
            autoscaling=Autoscaling(least=1, most=4, requests_in_flight=8),
        )  # fmt: skip


def ours(found: tuple[dict[str, Any], ...]) -> tuple[list[dict[str, Any]], int]:
    """Return the objects of kinds that a bare cluster knows, and how many others there are."""
    known = [each for each in found if not str(each["apiVersion"]).startswith(FOREIGN)]
    return known, len(found) - len(known)


def dry_run(cluster: Cluster) -> tuple[int, int, list[str]]:
    """Show all renderings to the API server; return how many there were, how many objects, and what it refused."""
    cluster.kubectl("create", "namespace", "dry-run")
    refused, seen, count = [], set(), 0
    for label, description in descriptions():
        known, _ = ours(objects(description, profile(description.cloud), TRUST))
        count += 1
        fresh = [each for each in known if json.dumps(each, sort_keys=True) not in seen]
        seen |= {json.dumps(each, sort_keys=True) for each in known}
        if not fresh:
            continue
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": fresh})
        try:
            cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", stdin=given)
        except SandboxFailed as problem:
            refused.append(f"{label}: {str(problem)[:400]}")
    cluster.kubectl("delete", "namespace", "dry-run", "--wait=false")
    return count, len(seen), refused
