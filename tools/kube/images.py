"""The images of the run, made by `strongroom deploy build` and pulled from a registry by their digests."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from kube.journey import Journey
from kube.owner import SECRET
from kube.registry import Registry

ROLES: Final = ("broker", "model-server", "models", "front")


class Images:
    """Builds, pushes and trusts."""

    def __init__(self, journey: Journey, registry: Registry) -> None:
        self.journey, self.registry = journey, registry

    def describe(self, version: str, autoscaling: Mapping[str, int] | None = None) -> None:
        """Write which images the deployment has."""
        self.journey.owner.describe(autoscaling, registry=self.registry.name, version=version)

    def build(self, version: str, *words: str) -> dict[str, Any]:
        """Build and push images under a tag; return the replicas' measurement. Takes minutes the first time."""
        owner = self.journey.owner
        self.describe(version)
        with self.journey.results.phase(f"images {version}") as phase:
            self.journey.say(f"strongroom deploy build --push, version {version}")
            began = time.monotonic()
            said = owner.build("deploy", "build", *words, "--push", "--json")
            made = {each["role"]: each for each in json.loads(said)["images"]}
            phase.times["built, looked through, pushed"] = time.monotonic() - began
        sizes = ", ".join(f"{role} {each['bytes'] / 1e6:.0f} MB" for role, each in made.items())
        self.journey.results.check("images were built, looked through and pushed", bool(made), sizes)
        found: dict[str, Any] = made["model-server"]["measurement"]
        return found

    def build_first(self) -> dict[str, Any]:
        """Build the first version and let the policy release the model to it."""
        found = self.build("v1", *ROLES, "--trust", SECRET)
        self.journey.measurements["v1"] = found["mr_enclave"]
        return found
