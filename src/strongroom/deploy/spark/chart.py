"""The job's Helm chart as files, its values for one description, and the same objects as plain manifests.

Templates and schema are package data, written by hand. What the pods run is taken from `words`, with @MARKS@ in the
place of what values say, so that no word of it is there twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.description import Description, Role, Tee
from strongroom.deploy.helm_text import chart, word_lists
from strongroom.deploy.kubernetes import replica
from strongroom.deploy.kubernetes.model_server import placement_values, tee_resources
from strongroom.deploy.secret_scan import refuse_secrets
from strongroom.deploy.spark.pods import RULES, objects
from strongroom.deploy.spark.words import DRIVER, EXECUTOR, command, job_of
from strongroom.deploy.tree import Tree, under
from strongroom.deploy.yaml_text import to_yaml
from strongroom.errors import Refused

SIZES: Final[Mapping[str, Mapping[str, str]]] = {
    DRIVER: {"cpu": "100m", "cpuLimit": "2", "memory": "2Gi", "localDirs": "512Mi"},
    EXECUTOR: {"image": "", "cpu": "100m", "cpuLimit": "2", "memoryOverhead": "1g", "localDirs": "512Mi"},
}
GROUPS: Final = {
    "ServiceAccount": "accounts", "Role": "accounts", "RoleBinding": "accounts", "ConfigMap": "driver",
    "Service": "driver", "Job": "driver", "NetworkPolicy": "network-policies",
}  # fmt: skip
_ABOUT: Final = {
    "accounts": "Names for the pods. The driver may make executors; executors have no token.",
    "driver": "The driver, its name for executors, and what they are made of.",
    "network-policies": "Who may connect to whom: nobody else.",
}
# In the order in which they are applied: the driver starts at once, so that everything else has to be there.
_ORDER: Final = ("accounts", "network-policies", "driver")


class SparkTee(Refused):
    """A Spark job was to be deployed into a TEE that cannot run it as it is described."""

    code = "SR-SPARK-CHART-TEE"
    fix = 'Say tee = "tdx" or tee = "simulated" in [deploy], or a .jar with its class in [deploy.spark].'


def chart_files(description: Description) -> Mapping[str, bytes]:
    """Return the chart: path inside of the chart's folder -> content, sorted by path. Raises NoSparkJob."""
    return chart(files(__package__) / "chart", _definitions(description))


def values(description: Description, profile: Profile, *, pvc: str = "") -> dict[str, Any]:
    """Return the values with which a release of the job's name renders `objects`. Raises NoSparkJob, SparkTee."""
    job = job_of(description)
    if description.tee is Tee.SGX and job.program is not None and job.main_class is None:
        raise SparkTee("the measured launcher of an enclave starts Java, and [deploy.spark] program is Python")
    if description.tee is Tee.SGX and job.report is not None:
        raise SparkTee(
            "a driver in an enclave writes no report, and [deploy.spark] report names a place for one",
            fix='Leave report out of [deploy.spark], or say tee = "tdx" or tee = "simulated" in [deploy].',
        )
    return {
        "tee": description.tee.value,
        "image": description.image(Role.SPARK),
        "pvc": pvc,
        "driver": {**SIZES[DRIVER]},
        "executor": {"instances": job.executors, "cores": job.cores, **SIZES[EXECUTOR]},
        "attestation": {
            "broker": description.broker or "",
            "brokerRelease": description.name,
            "simulatedWorld": f"{description.name}-simulated-world",
        },
        "networkPolicy": {"enabled": True},
        "teeResources": tee_resources(description, profile),
        "placement": placement_values(description, profile),
    }


def render(description: Description, profile: Profile, *, pvc: str = "") -> Tree:
    """Return `chart/…`, `values.yaml` and `manifests/…`. `pvc`: the claim with the job's data.

    Raises NoSparkJob, SparkTee, SecretInTree.
    """
    said = values(description, profile, pvc=pvc)
    about = f"Values of the job {job_of(description).name}, which is the release's name."
    tree = {
        **under("chart", chart_files(description)),
        **under("manifests", _manifests(description, profile, said)),
        "values.yaml": to_yaml([said], comment=about).encode(),
    }
    refuse_secrets(tree)
    return dict(sorted(tree.items()))


def _manifests(description: Description, profile: Profile, said: Mapping[str, Any]) -> dict[str, bytes]:
    found = objects(description, profile, said)
    grouped = {name: [each for each in found if GROUPS[each["kind"]] == name] for name in _ORDER}
    return {
        f"{number:02}-{name}.yaml": to_yaml(each, comment=_ABOUT[name]).encode()
        for number, (name, each) in enumerate(grouped.items())
        if each
    }


def _definitions(description: Description) -> Mapping[str, str]:
    """Return the chart's named templates of what Python decides: commands as JSON lists.

    A job's own words are in them: the image, whose manifests say them, and the chart are of one description.
    """
    commands: dict[str, Iterable[str]] = {
        "world": replica.COPY_WORLD,
        "preflight": (*replica.STRONGROOM, "platform"),
    }
    for tee in Tee:
        marked = replace(description, tee=tee)
        for part in (DRIVER,) if tee is Tee.SGX else (DRIVER, EXECUTOR):
            commands[f"{part}.{tee}"] = command(part, marked)
    return {"spark.rules": json.dumps(RULES), **word_lists("spark.words", commands)}
