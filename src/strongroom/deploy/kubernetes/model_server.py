"""The replicas: a Deployment whose pods prove themselves one by one, and the Services in front of them. Pure."""

from __future__ import annotations

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import SIZES, Description, Engine, Role, Size, Tee
from strongroom.deploy.gramine.places import MODELS
from strongroom.deploy.kubernetes import replica
from strongroom.deploy.kubernetes.naming import (
    GRPC_PORT,
    HEALTH_PORT,
    MODEL_SERVER,
    REST_PORT,
    Object,
    head,
    object_name,
    selector,
)
from strongroom.deploy.kubernetes.pods import (
    container,
    http_get,
    larger,
    leave_first,
    memory_volume,
    mount,
    pod_template,
    port,
    probes,
    resources,
    service_port,
    small_resources,
    spread,
    tcp,
)

START_S = 300  # an enclave of some gigabytes is measured page by page before its first instruction


def model_server(description: Description, profile: Profile) -> tuple[Object, ...]:
    """Return the Services, then the Deployment."""
    return (*_services(description), _deployment(description, profile))


def has_rest(description: Description) -> bool:
    """Whether replicas answer REST and probes over HTTP: TensorFlow Serving's REST is clear text, so it is off."""
    return description.engine is Engine.STRONGROOM


def aesmd_folder(description: Description, profile: Profile) -> str | None:
    """Return the folder of the node that holds aesmd's socket, where quotes come from there."""
    return profile.aesmd_socket if description.tee is Tee.SGX else None


def simulated_world(description: Description) -> str:
    """Return the name of the Secret with the simulated platform: the only one, and it keeps nothing secret."""
    return object_name(description, "simulated-world")


def tee_resources(description: Description, profile: Profile) -> dict[str, str]:
    """Return what a pod asks the SGX device plugin for."""
    if description.tee is not Tee.SGX:
        return {}
    return {profile.epc_resource: description.resources.epc, **profile.sgx_resources}


def placement(description: Description, profile: Profile) -> Object:
    """Return on which nodes a TEE's pods may stand, and in which runtime; nothing for a simulated one."""
    if description.tee is Tee.SIMULATED:
        return {}
    found: Object = {}
    if description.tee is Tee.TDX and profile.tdx_runtime_class:
        found["runtimeClassName"] = profile.tdx_runtime_class
    if profile.node_selector:
        found["nodeSelector"] = dict(profile.node_selector)
    if profile.tolerations:
        found["tolerations"] = [dict(each) for each in profile.tolerations]
    return found


def placement_values(description: Description, profile: Profile) -> Object:
    """Return the same as a chart's values, which spell out what is not set."""
    empty: Object = {"runtimeClassName": "", "nodeSelector": {}, "tolerations": []}
    return {**empty, **placement(description, profile)}


def _services(description: Description) -> tuple[Object, Object]:
    ports = [service_port("grpc", GRPC_PORT)]
    if has_rest(description):
        ports.append(service_port("rest", REST_PORT))
    spec: Object = {"selector": selector(description, MODEL_SERVER), "ports": ports}
    name = object_name(description, MODEL_SERVER)
    return (
        {**_head(description, "v1", "Service", name), "spec": {"type": "ClusterIP", **spec}},
        {**_head(description, "v1", "Service", f"{name}-headless"), "spec": {"clusterIP": "None", **spec}},
    )


def _deployment(description: Description, profile: Profile) -> Object:
    matching = selector(description, MODEL_SERVER)
    spec: Object = {} if description.autoscaling else {"replicas": description.replicas}
    spec |= {
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": matching},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": pod_template(
            description,
            MODEL_SERVER,
            {
                **placement(description, profile),
                "terminationGracePeriodSeconds": replica.GRACE_S,
                "topologySpreadConstraints": spread(matching),
                "initContainers": _init_containers(description),
                "containers": [_container(description, profile)],
                "volumes": _volumes(description, profile),
            },
        ),
    }
    return {**_head(description, "apps/v1", "Deployment", object_name(description, MODEL_SERVER)), "spec": spec}


def _init_containers(description: Description) -> list[Object]:
    found = [
        container(
            "models",
            description.image(Role.MODELS),
            replica.FILL_MODELS,
            resources=small_resources(),
            volumeMounts=[mount("models", replica.MODELS_TO_FILL)],
        )
    ]
    if description.tee is Tee.SIMULATED:
        found.append(
            container(
                "simulated-platform",
                description.image(Role.MODEL_SERVER),
                replica.COPY_WORLD,
                resources=small_resources(),
                volumeMounts=[
                    mount("simulated-world", replica.WORLD_SECRET, read_only=True),
                    mount("work", replica.WORK),
                ],
            )
        )
    return found


def _container(description: Description, profile: Profile) -> Object:
    asked = description.resources
    ports = [port("grpc", GRPC_PORT)]
    if has_rest(description):
        ports += [port("rest", REST_PORT), port("health", HEALTH_PORT)]
        trust = probes(http_get("/healthz", "health"), http_get("/readyz", "health"), start_s=START_S)
    else:  # TensorFlow Serving listens once its models are loaded, which takes the key
        trust = probes(tcp("grpc"), tcp("grpc"), start_s=START_S)
    return container(
        MODEL_SERVER,
        description.image(Role.MODEL_SERVER),
        replica.command(description),
        ports=ports,
        **trust,
        lifecycle=leave_first(replica.LEAVE_S),
        resources=resources(
            cpu=asked.cpu,
            cpu_limit=larger(asked.cpu, SIZES[Size.SEED].cpu),
            memory=asked.memory,
            more=tee_resources(description, profile),
        ),
        volumeMounts=_mounts(description, profile),
    )


def _mounts(description: Description, profile: Profile) -> list[Object]:
    found = [
        mount("models", MODELS, read_only=True),
        mount("tmp", "/tmp"),  # noqa: S108  # memory of this pod
    ]
    if description.tee is Tee.SIMULATED:
        found.append(mount("work", replica.WORK))
    if aesmd_folder(description, profile):
        found.append(mount("aesmd", "/var/run/aesmd"))
    return found


def _volumes(description: Description, profile: Profile) -> list[Object]:
    found: list[Object] = [
        {"name": "models", "emptyDir": {}},
        memory_volume("tmp", "64Mi"),
    ]
    if description.tee is Tee.SIMULATED:
        secret: Object = {"secretName": simulated_world(description), "defaultMode": 0o440}
        found += [memory_volume("work", "1Mi"), {"name": "simulated-world", "secret": secret}]
    if folder := aesmd_folder(description, profile):
        found.append({"name": "aesmd", "hostPath": {"path": folder, "type": "Directory"}})
    return found


def _head(description: Description, api_version: str, kind: str, name: str) -> Object:
    return head(description, api_version, kind, name, component=MODEL_SERVER)
