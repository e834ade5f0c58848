"""The queue's Helm chart as files, and its values for one description.

Templates and schema are package data, written by hand. What the pods run is taken from `parts`, with @BROKER@ in the
place of what values say, so that no word of it is there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

from strongroom.deploy.clouds import Profile
from strongroom.deploy.cluster_serving.parts import PartOf, command, flink_command, flink_words
from strongroom.deploy.description import Description, Role, Tee
from strongroom.deploy.gramine.queue import frontend_config, worker_config
from strongroom.deploy.helm_text import chart, word_lists
from strongroom.deploy.kubernetes import replica
from strongroom.deploy.kubernetes.model_server import placement
from strongroom.deploy.secret_scan import refuse_secrets
from strongroom.deploy.tree import Tree, under
from strongroom.deploy.yaml_text import to_yaml
from strongroom.errors import Refused

MODES: Final = ("sgx", "nonsgx", "simulated")
_MARKED: Final = Description(broker="@BROKER@")
_FLINK: Final = ("jobmanager", "taskmanager")


class QueueTee(Refused):
    """The queue's chart was asked for with a TEE that it does not describe: TDX, or a simulated one under Flink."""

    code = "SR-QUEUE-CHART-TEE"
    fix = 'Say tee = "sgx" or tee = "simulated" in [deploy], or run strongroom queue serve in your own trust domain.'


def chart_files(description: Description) -> Mapping[str, bytes]:
    """Return the chart: path inside of the chart's folder -> content, sorted by path."""
    return chart(files(__package__) / "chart", _definitions(description))


def values(
    description: Description, profile: Profile, *, runner: str = "process", mode: str | None = None
) -> dict[str, Any]:  # fmt: skip
    """Return the values of a description: images, TEE, attestation; sizes are the chart's own.

    `mode`: `nonsgx` for a cluster without any TEE, in the place of what the description says.

    Raises QueueTee.
    """
    if description.tee is Tee.TDX:
        raise QueueTee("[deploy] tee is tdx")
    mode = mode or ("sgx" if description.tee is Tee.SGX else "simulated")
    if runner == "flink" and mode == "simulated":
        raise QueueTee(
            "the simulated platform quotes for the one process that it started, and Flink starts workers below a JVM",
            fix="Say --runner process, or --mode nonsgx, which protects nothing.",
        )
    place = placement(description, profile)
    sgx = mode == "sgx"
    return {
        "runner": runner,
        "sgx": {"mode": mode},
        "image": description.image(Role.STREAMING_WORKER),
        "images": {
            "frontend": description.image(Role.QUEUE_FRONTEND),
            "redis": description.image(Role.REDIS),
            "flink": description.image(Role.FLINK),
            "models": description.image(Role.MODELS),
        },
        "master": {"replicas": description.replicas},
        "attestation": {
            "broker": description.broker or "",
            "brokerRelease": description.name,
            "simulatedWorld": f"{description.name}-simulated-world",
        },
        "teeResources": dict(profile.sgx_resources) if sgx else {},
        "placement": {
            "nodeSelector": place.get("nodeSelector", {}) if sgx else {},
            "tolerations": place.get("tolerations", []) if sgx else [],
        },
    }


def render(
    description: Description, profile: Profile, *, runner: str = "process", mode: str | None = None
) -> Tree:  # fmt: skip
    """Return `chart/…` and `values.yaml`. Raises QueueTee, SecretInTree."""
    said = to_yaml(
        [values(description, profile, runner=runner, mode=mode)], comment="Values of this deployment for the queue."
    )
    tree = {**under("chart", chart_files(description)), "values.yaml": said.encode()}
    refuse_secrets(tree)
    return tree


def _definitions(description: Description) -> Mapping[str, str]:
    """Return the chart's named templates of what Python decides: commands as JSON lists, configurations as text."""
    marked = replace(_MARKED, models=description.models)
    commands: dict[str, Iterable[str]] = {
        "models": replica.FILL_MODELS,
        "world": replica.COPY_WORLD,
        "preflight": (*replica.STRONGROOM, "platform"),
    }
    commands |= {f"{part}.{mode}": command(part, marked, mode) for part in PartOf for mode in MODES}
    commands |= {f"{part}.{mode}": flink_command(part, marked, mode) for part in _FLINK for mode in ("sgx", "nonsgx")}
    commands["flink-master.nonsgx"] = (*replica.STRONGROOM, *flink_words("master", marked))
    texts = {"worker": worker_config(marked, clear=True), "frontend": frontend_config()}
    configurations = {f"queue.text.{name}": text.rstrip("\n") for name, text in texts.items()}
    return {**word_lists("queue.words", commands), **configurations}
