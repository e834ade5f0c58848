"""Replicas that must not get the key: another argument, another program, a debug enclave, and the image of yesterday.

Each is the image of a replica with one thing changed, in a pod beside the others. What has to be seen: the pod is never
ready and says why, the broker released nothing to it, and the ledger names the rule.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any, Final

from kube.journey import IN_NAMESPACE, REPLICAS, Journey, is_ready
from kube.owner import NAMESPACE

MANIFEST: Final = "/app/replica.manifest"


@dataclass(frozen=True, slots=True)
class Intruder:
    """What is changed, and the reason that the ledger has to give."""

    name: str
    prose: str
    wanted: str
    change: tuple[str, str] | None = None  # in the manifest; without one, a line of the program is added


PROGRAM_FILE: Final = "/opt/strongroom/lib/python3.11/site-packages/strongroom/serving/__init__.py"
PYTHON: Final = "/opt/strongroom/bin/python3"
INTRUDERS: Final = (
    Intruder("intruder-argument", "another argument", "POLICY_MRENCLAVE", ("--drain_seconds=30", "--drain_seconds=31")),
    Intruder("intruder-program", "another line in the program", "POLICY_MRENCLAVE"),
    Intruder("intruder-debug", "a debug enclave", "POLICY_DEBUG", ("sgx.debug = false", "sgx.debug = true")),
)


def containerfile(intruder: Intruder, image: str) -> str:
    """Return what makes an intruder's image of a replica's. Pure."""
    if intruder.change:
        return f"FROM {image}\nCOPY replica.manifest {MANIFEST}\n"
    script = f"open('{PROGRAM_FILE}', 'a').write('# changed')"
    return f"FROM {image}\nUSER 0\nRUN {json.dumps([PYTHON, '-I', '-c', script])}\nUSER 10001:10001\n"


def changed(intruder: Intruder, manifest: str) -> str:
    """Return an intruder's manifest. Pure; raises ValueError if the manifest does not have what is to be changed."""
    if intruder.change is None:
        return manifest
    if intruder.change[0] not in manifest:
        raise ValueError(f"the manifest has no {intruder.change[0]}")
    return manifest.replace(*intruder.change)


class Intrusion:
    """Lets intruders in, and sees that they get nothing."""

    def __init__(self, journey: Journey) -> None:
        self.journey = journey

    def try_all(self) -> None:
        """Try the three wrong replicas beside the right ones, under load."""
        for each in INTRUDERS:
            self.build(each)
        with self.journey.step("wrong replicas"):
            for each in INTRUDERS:
                self.try_one(each.name, each.prose, self.tag(each), each.wanted)

    def build(self, intruder: Intruder) -> None:
        """Build and push the image of an intruder."""
        image = self.image()
        manifest = self.read(MANIFEST)
        folder = self.journey.owner.folder / intruder.name
        folder.mkdir()
        (folder / "replica.manifest").write_text(changed(intruder, manifest), encoding="utf-8")
        (folder / "Containerfile").write_text(containerfile(intruder, image), encoding="utf-8")
        tag = self.tag(intruder)
        run = self.journey.owner.run
        run("buildah", "bud", "--quiet", "--tls-verify=false", "--tag", tag, "--file", folder / "Containerfile", folder)
        run("buildah", "push", "--quiet", "--tls-verify=false", tag)

    def tag(self, intruder: Intruder) -> str:
        """Return what an intruder's image is called: it lies beside the replicas'."""
        return f"{self.image().partition('/')[0]}/{intruder.name}:1"

    def image(self) -> str:
        """Return the image of the replicas."""
        spec = self.template()["spec"]
        return str(next(each["image"] for each in spec["containers"] if each["name"] == "model-server"))

    def template(self) -> dict[str, Any]:
        """Return the pod template of the replicas."""
        found: dict[str, Any] = self.journey.cluster.get("deployment", REPLICAS, IN_NAMESPACE)["spec"]["template"]
        return found

    def read(self, path: str) -> str:
        """Read a file of a running replica's image."""
        pod = self.journey.ready()[0]
        return self.journey.cluster.kubectl("exec", pod, IN_NAMESPACE, "--container=model-server", "--", "cat", path)

    def try_one(self, name: str, prose: str, image: str, wanted: str) -> None:
        """Run one pod with another image; it must stay outside."""
        journey = self.journey
        seen = {each["seq"] for each in journey.owner.ledger()}
        journey.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(self.pod(name, image)))
        denied: list[dict[str, Any]] = []

        def refused() -> bool:
            denied[:] = [each for each in journey.owner.ledger() if each["seq"] not in seen and is_denial(each, wanted)]
            return bool(denied)

        journey.wait(f"the ledger shows the denial of {prose}", refused, 120)
        reason = next(each for each in denied[0]["reasons"] if each["code"] == wanted)
        journey.results.check(f"{prose}: refused, and the ledger says why", True,
                              f"{wanted}: {reason.get('observed')}, expected {reason.get('expected')}")  # fmt: skip
        status = json.loads(journey.owner.strongroom("deploy", "status", "--json"))
        row: dict[str, Any] = next((each for each in status["replicas"] if each.get("pod") == name), {})
        pod = next(each for each in journey.pods() if each["metadata"]["name"] == name)
        waits = "waiting for key" in row.get("words", "")
        journey.results.check(f"{prose}: the pod is not ready, and says that it waits", waits and not is_ready(pod))
        journey.results.check(f"{prose}: deploy status shows the reason", wanted in row.get("words", ""),
                              row.get("words"))  # fmt: skip
        journey.cluster.kubectl("delete", "pod", name, IN_NAMESPACE, "--grace-period=0", "--force")

    def pod(self, name: str, image: str) -> dict[str, Any]:
        """Return a pod like a replica's, with another image."""
        template = copy.deepcopy(self.template())
        for each in (*template["spec"]["containers"], *template["spec"].get("initContainers", ())):
            if each["name"] != "models":
                each["image"] = image
        metadata = {"name": name, "namespace": NAMESPACE, "labels": template["metadata"]["labels"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def is_denial(entry: dict[str, Any], code: str) -> bool:
    """Say whether a line of the ledger is a denial for this reason."""
    return entry["decision"] == "denied" and any(each["code"] == code for each in entry["reasons"])
