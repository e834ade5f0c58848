"""The Helm chart's files, and its values for one description: the objects of `deploy.kubernetes`, for Helm's users.

Templates and schema are package data, written by hand. What the pods run and nginx' configuration are taken from where
they are decided, with marks (@HOST@) in the place of what values say, so that no word of them is there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import SIZES, Description, Engine, Model, Role, Size, Tee
from strongroom.deploy.helm_text import chart, word_lists
from strongroom.deploy.kubernetes import broker, front, replica
from strongroom.deploy.kubernetes.model_server import aesmd_folder, placement_values, tee_resources
from strongroom.deploy.kubernetes.pods import larger

_MARKED: Final = Description(name="@NAME@", namespace="@NAMESPACE@", host="@HOST@", broker="@BROKER@")
_MODEL: Final = Model(name="@MODEL@", path="")


def chart_files() -> Mapping[str, bytes]:
    """Return the chart: path inside of the chart's folder -> content, sorted by path."""
    found = chart(files(__package__) / "strongroom", _definitions())
    for name, engine in (("nginx.conf", Engine.STRONGROOM), ("nginx-grpc-alone.conf", Engine.TENSORFLOW_SERVING)):
        found[f"files/{name}"] = front.nginx_conf(replace(_MARKED, engine=engine)).encode()
    return dict(sorted(found.items()))


def values(description: Description, profile: Profile, public_files: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the values with which the chart renders `kubernetes.objects` of the same three, but for the namespace.

    The release's name is the description's name, the release's namespace its namespace.
    """
    scaling = description.autoscaling
    return {
        "tee": description.tee.value,
        "engine": description.engine.value,
        "host": description.host,
        "replicas": description.replicas,
        "models": [each.name for each in description.models],
        "broker": description.broker or "",
        "front": description.front.value,
        "frontReplicas": front.front_replicas(description),
        "images": {
            "modelServer": description.image(Role.MODEL_SERVER),
            "models": description.image(Role.MODELS),
            "broker": description.image(Role.BROKER),
            "front": description.image(Role.FRONT),
        },
        "resources": {
            "cpu": description.resources.cpu,
            "cpuLimit": larger(description.resources.cpu, SIZES[Size.SEED].cpu),
            "memory": description.resources.memory,
        },
        "teeResources": tee_resources(description, profile),
        "placement": placement_values(description, profile),
        "aesmdFolder": aesmd_folder(description, profile) or "",
        "autoscaling": {
            "enabled": scaling is not None,
            "min": scaling.least if scaling else 1,
            "max": scaling.most if scaling else 4,
            "requestsInFlight": scaling.requests_in_flight if scaling else 8,
        },
        "trust": dict(sorted((public_files or {}).items())),
        "namespace": {"create": False},
    }


def _definitions() -> Mapping[str, str]:
    """Return the chart's named templates of what Python decides: commands as JSON lists, times in seconds."""
    trust_domain = replace(_MARKED, tee=Tee.TDX)
    commands: Mapping[str, Iterable[str]] = {
        "strongroom": replica.STRONGROOM,
        "models": replica.FILL_MODELS,
        "world": replica.COPY_WORLD,
        "simulated": replica.command(replace(_MARKED, tee=Tee.SIMULATED)),
        "sgx": replica.command(replace(_MARKED, tee=Tee.SGX)),
        "sgxTensorflow": replica.command(replace(_MARKED, tee=Tee.SGX, engine=Engine.TENSORFLOW_SERVING)),
        "tdx": replica.command(trust_domain),
        "tdxOneModel": replica.command(replace(trust_domain, models=(_MODEL,))),
        "wait": broker.WAIT,
        "broker": broker.command(_MARKED),
        "brokerSgx": broker.command(replace(_MARKED, tee=Tee.SGX)),
        "nginx": front.NGINX,
        "nginxLeave": front.LEAVE,
    }
    seconds = {"grace": replica.GRACE_S, "leave": replica.LEAVE_S, "frontGrace": front.GRACE_S}
    times = {f"strongroom.seconds.{name}": str(number) for name, number in seconds.items()}
    return {**word_lists("strongroom.words", commands), **times}
