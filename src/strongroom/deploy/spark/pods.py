"""The objects of a job: the driver's Job and Service, the executors' template, accounts, rights, policies. Pure.

The chart renders the same ones. No object has Spark's secret, or any other: what is secret comes from the broker, to
those who have proved what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Tee
from strongroom.deploy.kubernetes import replica
from strongroom.deploy.kubernetes.model_server import placement, simulated_world, tee_resources
from strongroom.deploy.kubernetes.naming import Object, head, object_name, selector
from strongroom.deploy.kubernetes.pods import (
    container,
    memory_volume,
    mount,
    pod_template,
    port,
    resources,
    service_port,
    small_resources,
)
from strongroom.deploy.spark.policies import policies
from strongroom.deploy.spark.words import (
    CLUSTER_FILE,
    DATA,
    DRIVER,
    EXECUTOR,
    MEMORY,
    SETTINGS,
    TEMPLATE_FILE,
    cluster_file,
    command,
    job_of,
)
from strongroom.deploy.yaml_text import to_yaml
from strongroom.sparkjobs.properties import BLOCK_PORT, DRIVER_PORT

GRACE_S: Final = 60  # for the driver to end its executors
LOCAL_VOLUME: Final = "spark-local-dir-1"  # Spark keeps to a volume of such a name, and makes none of its own
# What Spark's scheduler needs, tried on a cluster: with it, `spark submit` asks for nothing but pods.
RULES: Final[list[Object]] = [
    {"apiGroups": [""], "resources": ["pods"],
     "verbs": ["create", "delete", "deletecollection", "get", "list", "watch"]},
]  # fmt: skip


def objects(description: Description, profile: Profile, sizes: Mapping[str, Any]) -> tuple[Object, ...]:
    """Return all objects of the job. `sizes`: the chart's values. Raises NoSparkJob."""
    job = replace(description, name=job_of(description).name)
    parts = (DRIVER,) if description.tee is Tee.SGX else (DRIVER, EXECUTOR)
    found = [_account(job, part) for part in parts]
    if EXECUTOR in parts:
        found += [*_rights(job), _settings(description, job, profile, sizes), _service(job)]
    found.append(_driver(description, job, profile, sizes))
    return (*found, *policies(description, job, parts))


def executor_template(
    description: Description, job: Description, profile: Profile, sizes: Mapping[str, Any]
) -> Object:  # fmt: skip
    """Return the pod that every executor is made of; image, sizes and variables are added by Spark."""
    account = object_name(job, EXECUTOR)
    template = pod_template(
        job,
        EXECUTOR,
        {
            "serviceAccount": account,  # the field that Spark looks at
            **placement(description, profile),
            "restartPolicy": "Never",
            **_world_container(EXECUTOR, description, sizes),
            "containers": [_container(EXECUTOR, description, sizes)],
            "volumes": _volumes(EXECUTOR, description, sizes),
        },
    )
    return {"apiVersion": "v1", "kind": "Pod", **template}


def _account(job: Description, part: str) -> Object:
    return {
        **head(job, "v1", "ServiceAccount", object_name(job, part), component=part),
        "automountServiceAccountToken": False,
    }


def _rights(job: Description) -> tuple[Object, Object]:
    """Return what the driver may do: its executors, in this namespace."""
    name, api = object_name(job, DRIVER), "rbac.authorization.k8s.io"
    return (
        {**head(job, f"{api}/v1", "Role", name, component=DRIVER), "rules": RULES},
        {
            **head(job, f"{api}/v1", "RoleBinding", name, component=DRIVER),
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": job.namespace}],
        },
    )


def _settings(description: Description, job: Description, profile: Profile, sizes: Mapping[str, Any]) -> Object:
    template = to_yaml([executor_template(description, job, profile, sizes)])
    conf = cluster_file(sizes["executor"], name=job.name, namespace=job.namespace, image=_image(EXECUTOR, sizes))
    return {
        **head(job, "v1", "ConfigMap", object_name(job, "settings"), component=DRIVER),
        "data": {CLUSTER_FILE: conf, TEMPLATE_FILE: template},
    }


def _service(job: Description) -> Object:
    """Return the name by which executors find the driver, from its first moment on."""
    return {
        **head(job, "v1", "Service", object_name(job, DRIVER), component=DRIVER),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(job, DRIVER),
            "ports": [service_port("driver", DRIVER_PORT), service_port("blocks", BLOCK_PORT)],
        },
    }


def _driver(description: Description, job: Description, profile: Profile, sizes: Mapping[str, Any]) -> Object:
    spec: Object = {
        "automountServiceAccountToken": description.tee is not Tee.SGX,
        **placement(description, profile),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        **_world_container(DRIVER, description, sizes),
        "containers": [_container(DRIVER, description, sizes, tee_resources(description, profile))],
        "volumes": _volumes(DRIVER, description, sizes, settings=object_name(job, "settings")),
    }
    template = pod_template(job, DRIVER, spec)
    return {
        **head(job, "batch/v1", "Job", object_name(job, DRIVER), component=DRIVER),
        # Once and not again: what a job has written is not undone.
        "spec": {"backoffLimit": 0, "template": template},
    }


def _container(
    part: str, description: Description, sizes: Mapping[str, Any], devices: Mapping[str, str] | None = None
) -> Object:  # fmt: skip
    own = sizes[part]
    more: Object = {}
    if part == DRIVER and description.tee is not Tee.SGX:
        more["ports"] = [port("driver", DRIVER_PORT), port("blocks", BLOCK_PORT)]
    if part == DRIVER:  # Spark says both for executors
        more["resources"] = resources(cpu=own["cpu"], cpu_limit=own["cpuLimit"], memory=own["memory"], more=devices)
    more["terminationMessagePolicy"] = "FallbackToLogsOnError"
    more["volumeMounts"] = _mounts(part, description, sizes)
    return container(part, _image(part, sizes), command(part, description), **more)


def _image(part: str, sizes: Mapping[str, Any]) -> str:
    """Return a part's image: executors may have one of their own, which has to prove itself like any other."""
    own: str = sizes["executor"]["image"] if part == EXECUTOR else ""
    return own or str(sizes["image"])


def _mounts(part: str, description: Description, sizes: Mapping[str, Any]) -> list[Object]:
    found = [mount(LOCAL_VOLUME, MEMORY), mount("tmp", "/tmp")]  # noqa: S108  # the pod's memory
    if description.tee is Tee.SGX:
        found.append(mount("sealed", "/local"))
    elif part == DRIVER:
        found.append(mount("settings", SETTINGS, read_only=True))
    if description.tee is Tee.SIMULATED or part == EXECUTOR:
        found.append(mount("work", replica.WORK))
    if sizes["pvc"]:
        found.append(mount("data", DATA))
    return found


def _volumes(
    part: str, description: Description, sizes: Mapping[str, Any], *, settings: str | None = None
) -> list[Object]:  # fmt: skip
    found = [memory_volume(LOCAL_VOLUME, sizes[part]["localDirs"]), memory_volume("tmp", "64Mi")]
    if description.tee is Tee.SGX:  # what the enclave spills is sealed by it
        found.append({"name": "sealed", "emptyDir": {"sizeLimit": sizes[part]["localDirs"]}})
    elif part == DRIVER:
        found.append({"name": "settings", "configMap": {"name": settings}})
    if description.tee is Tee.SIMULATED or part == EXECUTOR:
        found.append(memory_volume("work", "16Mi"))
    if description.tee is Tee.SIMULATED:
        world = {"secretName": simulated_world(description), "defaultMode": 0o400}
        found.append({"name": "simulated-world", "secret": world})
    if sizes["pvc"]:
        found.append({"name": "data", "persistentVolumeClaim": {"claimName": sizes["pvc"]}})
    return found


def _world_container(part: str, description: Description, sizes: Mapping[str, Any]) -> Object:
    """Return what copies the simulated platform's files: they have to belong to whoever uses them."""
    if description.tee is not Tee.SIMULATED:
        return {}
    mounts = [mount("simulated-world", replica.WORLD_SECRET, read_only=True), mount("work", replica.WORK)]
    return {
        "initContainers": [
            container("simulated-platform", _image(part, sizes), replica.COPY_WORLD,
                      resources=small_resources(), volumeMounts=mounts)
        ]
    }  # fmt: skip
