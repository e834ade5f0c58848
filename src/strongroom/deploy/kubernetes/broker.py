"""The broker: one pod of ours, or a Service that stands for the owner's machine. Pure.

With simulated TEEs an init container waits until the owner has handed the workspace over (`deploy apply` does, into
the pod's memory); no object holds any of it. With real ones nobody hands it over: it would have to be made inside of
the TEE, which is why `broker = "HOST:PORT"` is the way there. Source: threats DP-03, DP-10.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Role, Tee
from strongroom.deploy.gramine.places import APP
from strongroom.deploy.kubernetes.model_server import START_S, placement, tee_resources
from strongroom.deploy.kubernetes.naming import (
    ADMIN_PORT,
    BROKER,
    GRAMINE_PORT,
    KBS_PORT,
    Object,
    head,
    object_name,
    selector,
)
from strongroom.deploy.kubernetes.pods import (
    container,
    http_get,
    memory_volume,
    mount,
    pod_template,
    port,
    probes,
    resources,
    service_port,
    small_resources,
)
from strongroom.deploy.kubernetes.replica import STRONGROOM, WORK

WORKSPACE: Final = f"{WORK}/workspace"
INCOMING: Final = f"{WORK}/incoming"
WAITER: Final = "workspace"  # the init container that waits, and into which the workspace is handed
WAIT: Final = ("sh", "-c", f"until [ -e {WORKSPACE}/strongroom.toml ]; do sleep 1; done")
# What `kubectl exec -i -c workspace` runs there: the folder appears under its name once it is whole.
RECEIVE: Final = (
    "sh",
    "-c",
    f"umask 077 && rm -rf {INCOMING} && mkdir {INCOMING} && tar -x -C {INCOMING} && mv {INCOMING} {WORKSPACE}",
)
SLICES_SINCE: Final = (1, 21)


def broker(description: Description, profile: Profile) -> tuple[Object, ...]:
    """Return a Service and a StatefulSet, or what leads to a broker outside of the cluster."""
    if description.broker is not None:
        return _outside(description, description.broker)
    return _service(description), _stateful_set(description, profile)


def outside_address(broker: str) -> tuple[str, int]:
    """Return host and port of a description's broker."""
    host, _, number = broker.removeprefix("https://").rpartition(":")
    return host, int(number)


def is_address(host: str) -> bool:
    """Whether a host is named by its address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _service(description: Description) -> Object:
    ports = [service_port("gramine", GRAMINE_PORT), service_port("kbs", KBS_PORT), service_port("admin", ADMIN_PORT)]
    return {
        **_head(description, "v1", "Service"),
        "spec": {"type": "ClusterIP", "selector": selector(description, BROKER), "ports": ports},
    }


def _outside(description: Description, broker: str) -> tuple[Object, ...]:
    host, number = outside_address(broker)
    if not is_address(host):
        return ({**_head(description, "v1", "Service"), "spec": {"type": "ExternalName", "externalName": host}},)
    service: Object = {
        **_head(description, "v1", "Service"),
        "spec": {"type": "ClusterIP", "ports": [{"name": "broker", "port": number, "protocol": "TCP"}]},
    }
    name = object_name(description, BROKER)
    if description.kubernetes < SLICES_SINCE:
        addresses = {"addresses": [{"ip": host}], "ports": [{"name": "broker", "port": number, "protocol": "TCP"}]}
        return service, {**_head(description, "v1", "Endpoints"), "subsets": [addresses]}
    slices = _head(description, "discovery.k8s.io/v1", "EndpointSlice")
    slices["metadata"]["labels"]["kubernetes.io/service-name"] = name
    return service, {
        **slices,
        "addressType": f"IPv{ipaddress.ip_address(host).version}",
        "endpoints": [{"addresses": [host]}],
        "ports": [{"name": "broker", "port": number, "protocol": "TCP"}],
    }


def _stateful_set(description: Description, profile: Profile) -> Object:
    spec: Object = {
        "replicas": 1,
        "serviceName": object_name(description, BROKER),
        "selector": {"matchLabels": selector(description, BROKER)},
        "template": pod_template(
            description,
            BROKER,
            {
                **placement(description, profile),
                "terminationGracePeriodSeconds": 30,
                **_waiting(description),
                "containers": [_container(description, profile)],
                "volumes": _volumes(description),
            },
        ),
    }
    if description.tee is not Tee.SIMULATED:
        spec["volumeClaimTemplates"] = [
            {
                "metadata": {"name": "work"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }
        ]
    return {**_head(description, "apps/v1", "StatefulSet"), "spec": spec}


def _waiting(description: Description) -> Object:
    """Return the init container that waits for the workspace; with real TEEs nobody may hand it to an ordinary pod."""
    if description.tee is not Tee.SIMULATED:
        return {}
    waiter = container(
        WAITER,
        description.image(Role.BROKER),
        WAIT,
        resources=small_resources(),
        volumeMounts=[mount("work", WORK)],
    )
    return {"initContainers": [waiter]}


def _container(description: Description, profile: Profile) -> Object:
    return container(
        BROKER,
        description.image(Role.BROKER),
        command(description),
        ports=[port("gramine", GRAMINE_PORT), port("kbs", KBS_PORT), port("admin", ADMIN_PORT)],
        **probes(
            http_get("/healthz", "admin", scheme="HTTPS"),
            http_get("/readyz", "admin", scheme="HTTPS"),
            start_s=START_S,
        ),
        resources=resources(cpu="50m", cpu_limit="1", memory="256Mi", more=tee_resources(description, profile)),
        volumeMounts=[mount("work", WORK), mount("tmp", "/tmp")],  # noqa: S108  # memory of this pod
    )


def broker_words() -> tuple[str, ...]:
    """Return the words of `strongroom broker` in the pod; with SGX they are in the broker's manifest."""
    return (
        "serve",
        f"--workspace={WORKSPACE}",
        "--address=0.0.0.0",
        f"--port={GRAMINE_PORT}",
        f"--kbs-port={KBS_PORT}",
        "--admin-address=0.0.0.0",
        f"--admin-port={ADMIN_PORT}",
        "--log-format=json",
    )


def command(description: Description) -> tuple[str, ...]:
    """Return what the broker's container starts."""
    if description.tee is Tee.SGX:
        return ("gramine-sgx", f"{APP}/broker")
    return (*STRONGROOM, "broker", *broker_words())


def _volumes(description: Description) -> list[Object]:
    tmp = memory_volume("tmp", "64Mi")
    return [memory_volume("work", "64Mi"), tmp] if description.tee is Tee.SIMULATED else [tmp]


def _head(description: Description, api_version: str, kind: str) -> Object:
    return head(description, api_version, kind, object_name(description, BROKER), component=BROKER)
