"""What this machine has and lacks for a cluster: each limit is probed, and named when it is in the way.

World: reads /proc and /sys, starts `unshare` and `dpkg-query`, writes nothing that stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

SERVERS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
PACKAGES: Final[Mapping[str, str]] = {  # a program that is needed, and Debian's package of it
    "etcd": "etcd-server",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
    "buildah": "buildah",
    "docker-registry": "docker-registry",
    "mmdebstrap": "mmdebstrap",
    "gcc": "gcc libc6-dev",
}
CNI_FOLDER: Final = Path("/usr/lib/cni")
CGROUPS: Final = Path("/sys/fs/cgroup")
CONTROLLERS: Final = ("cpu", "memory", "pids")
MEMORY_MIB: Final = 3000  # the control plane takes 750 MiB; four small replicas, broker, worlds and the load the rest


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where the servers are kept between runs: $STRONGROOM_KUBE_CACHE, or below the user's cache."""
    named = environ.get("STRONGROOM_KUBE_CACHE")
    return Path(named) if named else Path(environ.get("HOME") or Path.home()) / ".cache/strongroom/kube"


def missing_servers(cache: Path) -> list[str]:
    """Return which of the five servers have not been built into the cache."""
    return [name for name in SERVERS if not os.access(cache / "bin" / name, os.X_OK)]


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are not here."""
    lacking = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not (CNI_FOLDER / "bridge").exists():
        lacking.append("containernetworking-plugins")
    return sorted({word for package in lacking for word in package.split()})


def obstacles() -> list[str]:
    """Return what keeps a cluster from running here, one sentence each; none when it can."""
    if os.geteuid() != 0:
        return ["only root may make namespaces, mounts and control groups; run this as root"]
    probes: tuple[Callable[[], str | None], ...] = (_namespaces, _links, _overlay, _cgroups, _kmsg, _memory)
    return [found for probe in probes if (found := probe()) is not None]


def _said(argv: list[str]) -> str | None:
    """Run a probe; return what it complained about."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    return None if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")[-200:]


def _namespaces() -> str | None:
    said = _said(["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"])
    return said and f"no namespaces for mounts, network and processes: {said}"


def _links() -> str | None:
    script = "ip link add probe0 type bridge && ip link add probe1 type veth peer name probe2 && iptables -t nat -L -n"
    said = _said(["unshare", "--net", "sh", "-ec", script])
    return said and f"no bridge, veth pair or address translation: {said}"


def _overlay() -> str | None:
    with tempfile.TemporaryDirectory(prefix="strongroom-kube-probe-") as folder:
        script = f"cd {folder} && mkdir a b c d && mount -t overlay overlay -o lowerdir=a,upperdir=b,workdir=c d"
        said = _said(["unshare", "--mount", "sh", "-ec", script])
    return said and f"no overlay file system in {tempfile.gettempdir()} (TMPDIR names another place): {said}"


def _cgroups() -> str | None:
    lacking = [name for name in CONTROLLERS if not (CGROUPS / name).is_dir()]
    if lacking:
        return f"no cgroup v1 controllers {', '.join(lacking)} in {CGROUPS}, which a kubelet of 1.20 is run with here"
    if not os.access(CGROUPS / "memory", os.W_OK):
        return f"{CGROUPS} cannot be written to"
    return None


def _kmsg() -> str | None:
    return None if Path("/dev/kmsg").exists() else "there is no /dev/kmsg, without which a kubelet does not start"


def _memory() -> str | None:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            mib = int(line.split()[1]) // 1024
            return None if mib >= MEMORY_MIB else f"{mib} MiB of memory are free; a cluster takes {MEMORY_MIB}"
    return None
