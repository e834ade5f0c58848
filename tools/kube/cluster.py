"""Start a cluster, lend it, and take it away whole.

World: one temporary folder, one sandbox, one control group per controller; nothing of them is left afterwards, whether
the run ended well, was interrupted, or never came up.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kube import certificates, flags
from kube.machine import CGROUPS
from kube.sandbox import Sandbox, SandboxFailed

HERE: Final = Path(__file__).resolve().parent
READY_S: Final = 120.0
KUBECTL: Final = Path(sys.executable).with_name("kubectl")
_DNS_PORTS: Final = [
    {"name": f"dns-{protocol.lower()}", "port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")
]
_DNS_HEAD: Final = {"apiVersion": "v1", "metadata": {"name": "kube-dns", "namespace": "kube-system"}}
DNS_SERVICE: Final = {  # under the name that clusters have it; the server runs on the node itself
    "apiVersion": "v1", "kind": "List", "items": [
        {**_DNS_HEAD, "kind": "Service", "spec": {"clusterIP": flags.DNS_IP, "ports": _DNS_PORTS}},
        {**_DNS_HEAD, "kind": "Endpoints",
         "subsets": [{"addresses": [{"ip": certificates.NODE_IP}], "ports": _DNS_PORTS}]},
    ],
}  # fmt: skip


class Cluster:
    """A running cluster of one node; a context manager."""

    def __init__(self, cache: Path, *, keep_logs: Callable[[], bool] = lambda: False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="strongroom-kube-"))
        self.pki = self.folder / "pki"
        self.kubeconfig = self.pki / "admin.conf"
        self.seconds: dict[str, float] = {}
        self.sandbox = Sandbox(self.folder)
        self._binaries = cache / "bin"
        self._cgroup = f"/{self.folder.name}"
        self._keep_logs = keep_logs

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        began = time.monotonic()
        certificates.write_all(self.pki, now=datetime.now(UTC))
        (self.folder / "cni").mkdir()
        (self.folder / "cni/10-podnet.conflist").write_text(flags.pod_network(), encoding="ascii")
        (self.folder / "containerd.toml").write_text(flags.containerd_config(self.folder), encoding="ascii")
        self._make_cgroups()
        self.sandbox.__enter__()
        self.sandbox.run(["sh", "-c", flags.network_script()])
        start, binaries = self.sandbox.start, self._binaries
        start("etcd", flags.etcd(self.folder))
        start("containerd", ["containerd", "-c", str(self.folder / "containerd.toml")])
        start("apiserver", flags.apiserver(binaries, self.pki))
        self.load_image(pause_image(self.folder))
        self._wait("the API server is ready", lambda: self.kubectl_ok("get", "--raw=/readyz"))
        self.seconds["API server ready"] = time.monotonic() - began
        start("controller-manager", flags.controller_manager(binaries, self.pki))
        start("scheduler", flags.scheduler(binaries, self.pki))
        start(
            "kubelet",
            flags.kubelet(binaries, self.folder, self.pki, self._cgroup),
            {"AWS_EC2_METADATA_DISABLED": "true"},
        )
        start("proxy", flags.proxy(binaries, self.pki))
        self._start_dns()
        self._wait("the node is ready", self._node_is_ready)
        self._wait("the default service account is there", lambda: self.kubectl_ok("get", "serviceaccount", "default"))
        self.seconds["node ready"] = time.monotonic() - began

    def _start_dns(self) -> None:
        role = ["create", "clusterrole", "strongroom-dns", "--verb=list,watch", "--resource=services,endpoints"]
        self.kubectl(*role)
        self.kubectl("create", "clusterrolebinding", "strongroom-dns", "--clusterrole=strongroom-dns",
                     "--user=strongroom:dns")  # fmt: skip
        self.kubectl("apply", "--filename=-", stdin=json.dumps(DNS_SERVICE))
        words = [sys.executable, "-m", "kube.dns_server", "--address", certificates.NODE_IP, "--api",
                 certificates.API_URL, "--ca", f"{self.pki}/ca.crt", "--cert", f"{self.pki}/dns.crt",
                 "--key", f"{self.pki}/dns.key", "--domain", flags.DOMAIN]  # fmt: skip
        self.sandbox.start("dns", words, {"PYTHONPATH": str(HERE.parent)})

    def kubectl_words(self, *words: str) -> list[str]:
        """Return the words that run kubectl against this cluster from this machine."""
        kubectl = [str(KUBECTL), f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder}/kubectl-cache"]
        return self.sandbox.on_network([*kubectl, *words])

    def kubectl(self, *words: str, stdin: str | None = None, timeout_s: float = 120.0) -> str:
        """Run kubectl; return what it said. Raises SandboxFailed."""
        done = subprocess.run(self.kubectl_words(*words), capture_output=True, text=True, check=False,
                              timeout=timeout_s, input=stdin if stdin is not None else "")  # fmt: skip
        if done.returncode != 0:
            raise SandboxFailed(f"kubectl {' '.join(words)[:200]}: {done.stderr.strip()[-1000:]}")
        return done.stdout

    def kubectl_ok(self, *words: str) -> bool:
        """Return whether kubectl succeeds."""
        try:
            self.kubectl(*words, timeout_s=20)
        except (SandboxFailed, subprocess.TimeoutExpired):
            return False
        return True

    def get(self, *words: str) -> Any:
        """Return what `kubectl get -o json` says."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def load_image(self, archive: Path) -> None:
        """Import an image from an OCI or Docker archive into the node's runtime."""
        words = [
            "ctr",
            f"--address={self.folder}/containerd.sock",
            "--namespace=k8s.io",
            "images",
            "import",
            str(archive),
        ]
        self._wait("containerd listens", (self.folder / "containerd.sock").exists)
        self.sandbox.run(words, timeout_s=300)

    def _node_is_ready(self) -> bool:
        if not self.kubectl_ok("get", "node", certificates.NODE):
            return False
        conditions = self.get("node", certificates.NODE)["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _wait(self, what: str, happened: Callable[[], bool]) -> None:
        wait_until(what, happened, look_after=self.sandbox.look_after)

    def _make_cgroups(self) -> None:
        for controller in CGROUPS.iterdir():
            if not controller.is_dir() or controller.is_symlink():
                continue
            place = controller / self._cgroup.strip("/")
            place.mkdir()
            for name in ("cpuset.cpus", "cpuset.mems"):  # a new group has none, and then nothing can run in it
                if controller.name == "cpuset":
                    (place / name).write_text((controller / name).read_text(encoding="ascii"), encoding="ascii")

    def close(self) -> None:
        """End everything and remove it; the logs stay where the caller wants them kept."""
        self.sandbox.close()
        remove_cgroups(self._cgroup.strip("/"))
        if self._keep_logs():
            self._keep_only_logs()
        else:
            shutil.rmtree(self.folder)

    def _keep_only_logs(self) -> None:
        for each in self.folder.iterdir():
            if each.name != "log":
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()

    def leftovers(self) -> list[str]:
        """Return what is still there of a cluster that was closed; see `leftovers`."""
        return leftovers(self.folder.name)


def wait_until(what: str, happened: Callable[[], bool], *, timeout_s: float = READY_S,
               look_after: Callable[[], None] = lambda: None, every_s: float = 0.2) -> float:  # fmt: skip
    """Wait until something has happened; return the seconds it took. Raises SandboxFailed when time is up."""
    began = time.monotonic()
    while not happened():
        look_after()
        if time.monotonic() - began > timeout_s:
            raise SandboxFailed(f"after {timeout_s:.0f} s it is still not so that {what}")
        time.sleep(every_s)
    return time.monotonic() - began


def pause_image(folder: Path) -> Path:
    """Compile the pause program and return an archive with its image: nothing but that one file."""
    program = folder / "pause"
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", str(program), str(HERE / "pause.c")], check=True)
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(program, "pause")
    archive = folder / "pause.tar"
    docker_archive(archive, layer, name=flags.PAUSE, entrypoint=["/pause"])
    return archive


def docker_archive(archive: Path, layer: Path, *, name: str, entrypoint: Sequence[str]) -> None:
    """Write an image of one layer in the form that `docker save` has (Docker image specification 1.2)."""
    import hashlib
    import io

    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": list(entrypoint)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }).encode()  # fmt: skip
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(archive, "w") as tar:
        tar.add(layer, "layer.tar")
        for file, data in ((config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def remove_cgroups(name: str) -> None:
    """Remove a cluster's control groups, the innermost first."""
    for top in CGROUPS.glob(f"*/{name}"):
        if top.parent.is_symlink():
            continue
        for each in sorted((top, *(path for path in top.rglob("*") if path.is_dir())), reverse=True):
            _rmdir(each)


def _rmdir(place: Path) -> None:
    """Remove a group whose last process may still be on its way out."""
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError):
            try:
                place.rmdir()
            except OSError as problem:
                if isinstance(problem, FileNotFoundError):
                    return
                time.sleep(0.05)
                continue
        return


def leftovers(name: str) -> list[str]:
    """Return, one sentence each, what a cluster left on this machine: processes, mounts, groups, links, files."""
    found = []
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    found += [f"mount {line.split()[1]}" for line in mounts.splitlines() if name in line]
    found += [f"control group {path}" for path in CGROUPS.glob(f"*/{name}")]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if name.encode() in words and int(process.name) != os.getpid():
                found.append(f"process {process.name}: {words[:120].decode('utf-8', 'replace')}")
    folder = Path(tempfile.gettempdir()) / name
    if folder.exists() and {each.name for each in folder.iterdir()} - {"log"}:
        found.append(f"folder {folder}")
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    found += ["address translation of a cluster on this machine's own network"] * ("KUBE-SERVICES" in rules)
    return found
