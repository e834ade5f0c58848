"""What takes the clients' connections: our nginx, an Ingress, or a Gateway; TLS passes through all of them. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.deploy.description import Description, Front, Role, Size, Tee
from strongroom.deploy.fronts import Listening, cluster_upstream, nginx_passthrough
from strongroom.deploy.kubernetes.model_server import has_rest
from strongroom.deploy.kubernetes.naming import (
    FRONT,
    GRPC_PORT,
    MODEL_SERVER,
    REST_PORT,
    Object,
    head,
    object_name,
    selector,
)
from strongroom.deploy.kubernetes.pods import (
    container,
    memory_volume,
    mount,
    pod_template,
    port,
    probes,
    service_port,
    small_resources,
    spread,
    tcp,
)

CONFIG_FOLDER: Final = "/etc/strongroom"
CONFIG_FILE: Final = "nginx.conf"
GATEWAY_V1_SINCE: Final = (1, 25)  # Gateway API 1.0 wants that; older clusters have its v1beta1
GATEWAY_CLASS: Final = "nginx"  # of NGINX Gateway Fabric
INGRESS_CLASS: Final = "nginx"
_PASSTHROUGH: Final = {"nginx.ingress.kubernetes.io/ssl-passthrough": "true"}
GRACE_S: Final = 50  # connections may end by themselves for 30 s (worker_shutdown_timeout)
NGINX: Final = ("nginx", "-e", "stderr", "-c", f"{CONFIG_FOLDER}/{CONFIG_FILE}")
# Wait until nobody is sent here any more, then end without cutting connections: SIGTERM alone would cut them.
LEAVE: Final = (
    "sh",
    "-c",
    "sleep 5; kill -QUIT $(cat /tmp/nginx.pid); while [ -e /tmp/nginx.pid ]; do sleep 1; done",
)


def front(description: Description) -> tuple[Object, ...]:
    """Return the objects of the front that the description names; none for `none`."""
    match description.front:
        case Front.NGINX:
            return _config(description), _service(description), _deployment(description)
        case Front.INGRESS:
            return (_ingress(description),)
        case Front.GATEWAY:
            return _gateway(description), _tls_route(description)
        case Front.NONE:
            return ()


def nginx_conf(description: Description) -> str:
    """Return the configuration of the nginx pod."""
    listening = Listening() if has_rest(description) else Listening(rest=None)
    return nginx_passthrough(description, cluster_upstream(description), listening)


def front_replicas(description: Description) -> int:
    """Return how many nginx pods there are: one of them is enough for a small cluster."""
    return 1 if description.size is Size.SMALL else 2


def _config(description: Description) -> Object:
    return {**_head(description, "v1", "ConfigMap"), "data": {CONFIG_FILE: nginx_conf(description)}}


def _service(description: Description) -> Object:
    ports = [service_port("grpc", GRPC_PORT)]
    if has_rest(description):
        ports.append(service_port("rest", REST_PORT))
    kind = "ClusterIP" if description.tee is Tee.SIMULATED else "LoadBalancer"  # a rehearsal is not for everybody
    return {
        **_head(description, "v1", "Service"),
        "spec": {"type": kind, "selector": selector(description, FRONT), "ports": ports},
    }


def _deployment(description: Description) -> Object:
    matching = selector(description, FRONT)
    # nginx reads its configuration at start: a changed one has to make new pods.
    digest = hashlib.sha256(nginx_conf(description).encode()).hexdigest()
    template = pod_template(
        description,
        FRONT,
        {
            "terminationGracePeriodSeconds": GRACE_S,
            "topologySpreadConstraints": spread(matching),
            "containers": [_container(description)],
            "volumes": [
                {"name": "config", "configMap": {"name": object_name(description, FRONT)}},
                memory_volume("tmp", "16Mi"),
            ],
        },
        annotations={"strongroom/config": f"sha256:{digest}"},
    )
    return {
        **_head(description, "apps/v1", "Deployment"),
        "spec": {
            "replicas": front_replicas(description),
            "revisionHistoryLimit": 5,
            "selector": {"matchLabels": matching},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        },
    }


def _container(description: Description) -> Object:
    ports = [port("grpc", GRPC_PORT)]
    if has_rest(description):
        ports.append(port("rest", REST_PORT))
    return container(
        "nginx",
        description.image(Role.FRONT),
        NGINX,
        ports=ports,
        **probes(tcp("grpc"), tcp("grpc"), start_s=30),
        lifecycle={"preStop": {"exec": {"command": list(LEAVE)}}},
        resources=small_resources(),
        volumeMounts=[mount("config", CONFIG_FOLDER, read_only=True), mount("tmp", "/tmp")],  # noqa: S108
    )


def _ingress(description: Description) -> Object:
    """Return an Ingress for an ingress-nginx that runs with --enable-ssl-passthrough; without that it must not work."""
    backend = {"service": {"name": object_name(description, MODEL_SERVER), "port": {"name": "grpc"}}}
    rule = {"host": description.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    name = object_name(description, FRONT)
    return {
        **head(description, "networking.k8s.io/v1", "Ingress", name, component=FRONT, annotations=_PASSTHROUGH),
        "spec": {"ingressClassName": INGRESS_CLASS, "rules": [rule]},
    }


def _gateway(description: Description) -> Object:
    version = "v1" if description.kubernetes >= GATEWAY_V1_SINCE else "v1beta1"
    listener: Object = {
        "name": "grpc",
        "hostname": description.host,
        "port": GRPC_PORT,
        "protocol": "TLS",
        "tls": {"mode": "Passthrough"},
        "allowedRoutes": {"namespaces": {"from": "Same"}, "kinds": [{"kind": "TLSRoute"}]},
    }
    return {
        **_head(description, f"gateway.networking.k8s.io/{version}", "Gateway"),
        "spec": {"gatewayClassName": GATEWAY_CLASS, "listeners": [listener]},
    }


def _tls_route(description: Description) -> Object:
    return {
        **_head(description, "gateway.networking.k8s.io/v1alpha2", "TLSRoute"),
        "spec": {
            "parentRefs": [{"name": object_name(description, FRONT), "sectionName": "grpc"}],
            "hostnames": [description.host],
            "rules": [{"backendRefs": [{"name": object_name(description, MODEL_SERVER), "port": GRPC_PORT}]}],
        },
    }


def _head(description: Description, api_version: str, kind: str) -> Object:
    return head(description, api_version, kind, object_name(description, FRONT), component=FRONT)
