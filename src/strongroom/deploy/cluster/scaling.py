"""Change how many replicas there are. World: kubectl."""

from __future__ import annotations

import json

from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.kubectl import SCALE_MANAGER
from strongroom.deploy.cluster.kubectl_errors import NoSuchObject
from strongroom.deploy.cluster.objects import workload_of
from strongroom.deploy.description import MAX_REPLICAS
from strongroom.errors import BadInput


class ScaledByLoad(BadInput):
    """How many replicas there are is an autoscaler's to say."""

    code = "SR-SCALE-AUTOMATIC"
    fix = "Change [deploy.autoscaling] min and max in strongroom.toml, then run strongroom deploy apply."


class TooManyReplicas(BadInput):
    """More replicas are asked for than one deployment may have."""

    code = "SR-SCALE-TOO-MANY"
    fix = f"At most {MAX_REPLICAS}; split the deployment: another [deploy] name, in a workspace of its own."


def scale(deployment: Deployment, count: int) -> int:
    """Set the number of replicas and return what it was. Raises ScaledByLoad, TooManyReplicas or NoSuchObject."""
    if count > MAX_REPLICAS:
        raise TooManyReplicas(f"{count} replicas are asked for")
    kubectl, name = deployment.kubectl, deployment.model_server
    live = kubectl.get("deployment", name)
    if live is None:
        raise NoSuchObject(f"there is no Deployment {name} in the namespace {kubectl.namespace}")
    if deployment.description.autoscaling is not None or kubectl.get("horizontalpodautoscaler", name) is not None:
        raise ScaledByLoad(f"the autoscaler {name} would change it back")
    kubectl.patch("deployment", name, json.dumps({"spec": {"replicas": count}}), manager=SCALE_MANAGER)
    return workload_of(live).wanted
