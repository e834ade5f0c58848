"""Install the rendered chart with helm. World: helm, and a folder that is gone afterwards."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from strongroom.deploy.chart.chart import values
from strongroom.deploy.cluster.deployment import Deployment
from strongroom.deploy.cluster.handover import world_secret
from strongroom.deploy.description import Tee
from strongroom.deploy.kubernetes.space import namespace
from strongroom.deploy.rendering import render
from strongroom.deploy.writing import write

FOLDER = "chart"


def install(deployment: Deployment, *, timeout_s: float) -> None:
    """Install or upgrade the release. Raises KubectlMissing and what `error_of` returns."""
    description, profile = deployment.description, deployment.profile
    with tempfile.TemporaryDirectory(prefix="strongroom-") as place:
        folder = Path(place) / "tree"
        write(render(description, profile, deployment.trust), folder)
        wanted = Path(place) / "values.json"  # JSON is YAML
        wanted.write_text(json.dumps(values(description, profile, deployment.trust)), encoding="utf-8")
        # Helm keeps its records in the namespace, so no chart can make it; --create-namespace forgets its labels.
        first = [namespace(description, profile)]
        if description.tee is Tee.SIMULATED:  # the platform's Secret is no part of any rendering
            first.append(world_secret(description, deployment.workspace))
        deployment.kubectl.apply(first)
        words = ("upgrade", "--install", description.name, str(folder / FOLDER), f"--values={wanted}")
        deployment.kubectl.run_helm(*words, timeout_s=timeout_s)
