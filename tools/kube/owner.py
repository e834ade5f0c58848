"""The owner's machine: a workspace, a model, and the product's own commands, as a person would type them.

World: processes, and one folder. Commands run on the cluster's network where they speak to it. Image builders keep
their layers in a storage of this run's own, so that runs side by side do not take each other's tags.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from kube.cluster import HERE, Cluster
from kube.sandbox import SandboxFailed

HOST: Final = "grpc.tf-serving.service.com"
CLIENT: Final = "client.tf-serving.service.com"
MODEL: Final = "half-plus-two"
SECRET: Final = f"model/{MODEL}/1"
NAME: Final = "strongroom"
NAMESPACE: Final = "strongroom"
# A command and all that it starts end with this program, whatever ends it, and so do their mounts.
ALONE: Final = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL",
                "--mount-proc")  # fmt: skip
STRONGROOM: Final = (sys.executable, "-m", "strongroom")


class Owner:
    """Runs `strongroom` for one workspace and remembers how many commands and how long they took."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.folder = cluster.folder / "owner"
        self.workspace = self.folder / "workspace"
        self.client = self.folder / "client"
        self.commands: list[str] = []
        self.tables = ""  # more of strongroom.toml
        self.sources: Path | None = None  # where `strongroom` comes from, if not from this checkout
        self.folder.mkdir(mode=0o700)
        storage = self.folder / "containers"
        self._storage_conf = self.folder / "storage.conf"
        self._storage_conf.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{storage}"\nrunroot = "{storage}-run"\n', encoding="ascii"
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of commands: this cluster and no other, nothing written to the home folder."""
        places = {name: str(self.folder / name.lower()) for name in
                  ("KUBECACHEDIR", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}  # fmt: skip
        return {
            **os.environ, **places, "KUBECONFIG": str(self.cluster.kubeconfig),
            "PYTHONPATH": ":".join(map(str, [*([self.sources / "src"] if self.sources else []), HERE.parent])),
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(self._storage_conf),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:{HERE.parents[1] / '.tools/bin'}",
        }  # fmt: skip

    def strongroom(self, *words: str | Path, timeout_s: float = 600.0, expected: Sequence[int] = (0,)) -> str:
        """Run a verb; return its standard output. Raises SandboxFailed with its last words."""
        said = [str(word) for word in words]
        self.commands.append(f"strongroom {' '.join(said)}")
        return self._run([*STRONGROOM, *said, "--workspace", str(self.workspace)], timeout_s, expected)

    def run(self, *words: str | Path, timeout_s: float = 600.0) -> str:
        """Run another program on the cluster's network."""
        return self._run([str(word) for word in words], timeout_s, (0,))

    def build(self, *words: str, timeout_s: float = 1800.0) -> str:
        """Run a verb on this machine's own network, where packages can be downloaded, with mounts of its own."""
        self.commands.append(f"strongroom {' '.join(words)}")
        program = [*STRONGROOM, *words, "--workspace", str(self.workspace)]
        return self._finish([*ALONE, *program], timeout_s, (0,))

    def tool(self, *words: str, timeout_s: float = 600.0) -> str:
        """Run another program on this machine's own network, with mounts of its own."""
        return self._finish([*ALONE, *words], timeout_s, (0,))

    def _run(self, words: list[str], timeout_s: float, expected: Sequence[int]) -> str:
        return self._finish(self.cluster.sandbox.on_network([*ALONE, *words]), timeout_s, expected)

    def _finish(self, words: list[str], timeout_s: float, expected: Sequence[int]) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=timeout_s, cwd=self.folder,
                              env=self.environment(), stdin=subprocess.DEVNULL)  # fmt: skip
        if done.returncode not in expected:
            said = (done.stderr.strip() or done.stdout.strip())[-3000:]
            raise SandboxFailed(f"{' '.join(words[-12:])[:400]} ended with status {done.returncode}:\n{said}")
        return done.stdout

    def prepare(self) -> None:
        """Make the workspace, the client's identity and the sealed model; describe the deployment."""
        self._init()
        self.strongroom("certs", "two-way", "--server", HOST, "--client", CLIENT, "--out", self.folder / "ssl")
        source = self.folder / "model"
        source.mkdir()
        (source / "model.onnx").write_bytes(half_plus_two())
        self.strongroom("model", "publish", source, "--name", MODEL, "--version", "1",
                        "--ssl-config", self.folder / "ssl/ssl.cfg", "--out", self.workspace / "models")  # fmt: skip
        self.client.mkdir(mode=0o700)
        for origin, name in (
            ("ca_cert.pem", "ca_cert.pem"),
            ("client/cert.pem", "cert.pem"),
            ("client/key.pem", "key.pem"),
        ):
            (self.client / name).write_bytes((self.folder / "ssl" / origin).read_bytes())
        (self.client / "key.pem").chmod(0o600)

    def _init(self) -> None:
        self.commands.append("strongroom init")
        self._finish([*STRONGROOM, "init", str(self.workspace)], 60, (0,))
        self._settings = (self.workspace / "strongroom.toml").read_text(encoding="utf-8")

    def describe(self, autoscaling: Mapping[str, int] | None = None, **settings: str | int) -> None:
        """Write the [deploy] table of strongroom.toml: as a person would, by hand."""
        usual = {"tee": "simulated", "kubernetes": "1.20", "host": HOST, "name": NAME, "namespace": NAMESPACE}
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in {**usual, **settings}.items()]
        text = f'{self._settings}\n[deploy]\n{"".join(lines)}\n[[deploy.model]]\nname = "{MODEL}"\n'
        if autoscaling:
            text += "\n[deploy.autoscaling]\n" + "".join(f"{name} = {value}\n" for name, value in autoscaling.items())
        (self.workspace / "strongroom.toml").write_text(text + self.tables, encoding="utf-8")

    def ledger(self) -> list[dict[str, Any]]:
        """Return the decisions of the broker in the cluster, read in its pod."""
        words = ["exec", f"statefulset/{NAME}-broker", f"--namespace={NAMESPACE}", "--container=broker", "--"]
        program = ["/opt/strongroom/bin/python3", "-I", "-m", "strongroom", "ledger", "show", "--json"]
        said = self.cluster.kubectl(*words, *program, "--workspace", "/work/workspace")
        entries = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry.get("kind") == "decision"]


def half_plus_two() -> bytes:
    """Return a small model, y = x / 2 + 2, as ONNX."""
    from onnx import TensorProto, helper

    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    nodes = [helper.make_node("Mul", ["x", "half"], ["h"]), helper.make_node("Add", ["h", "two"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph(nodes, "half_plus_two", [x], [y], [half, two])
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return model
