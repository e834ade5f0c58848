"""The words that start each of the cluster's programs, and the files they read. Pure.

What is not obvious comes from running them: lowering `oom_score_adj` and writing conntrack's settings needs rights that
a machine inside a machine rarely has; without an empty `--eviction-hard` a full disk evicts pods; node addresses need
no polling when there is one node.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from kube.certificates import NODE, NODE_IP

SERVICES: Final = "10.96.0.0/16"
PODS: Final = "10.244.0.0/16"
POD_RANGE: Final = "10.244.0.0/24"
DNS_IP: Final = "10.96.0.10"
DOMAIN: Final = "cluster.local"
PAUSE: Final = "localhost/pause:1"
ETCD: Final = "http://127.0.0.1:2379"
MAX_PODS: Final = 60


def network_script() -> str:
    """Return the shell script that gives the sandbox one address, a default route and forwarding."""
    return f"""set -e
ip link set lo up
ip link add node0 type bridge
ip addr add {NODE_IP}/24 dev node0
ip link add nv0 type veth peer name nv1
ip link set nv0 master node0
for each in nv0 nv1 node0; do ip link set $each up; done  # the pair only gives the bridge a carrier
ip route add default via 10.240.0.1 dev node0  # nobody is there; the components want a default route
ip route add unreachable 169.254.0.0/16  # the kubelet's search for a cloud fails at once
sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
"""


def containerd_config(folder: Path) -> str:
    """Return containerd's configuration: everything it keeps lies in the folder."""
    return f"""version = 2
root = "{folder}/containerd"
state = "/run/containerd-state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def pod_network() -> str:
    """Return the CNI configuration of the pods' bridge."""
    ranges = [[{"subnet": POD_RANGE}]]
    ipam = {"type": "host-local", "dataDir": "/run/ipam", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "podnet", "plugins": [bridge, portmap]}, indent=1)


def etcd(folder: Path) -> list[str]:
    """Return etcd's words: its data are worth nothing after the run, so no write waits for the disk."""
    return ["etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync"]  # fmt: skip


def apiserver(binaries: Path, pki: Path) -> list[str]:
    """Return the API server's words, with the aggregation layer: the adapter's metrics API is one."""
    return [
        f"{binaries}/kube-apiserver", f"--etcd-servers={ETCD}", f"--bind-address={NODE_IP}",
        f"--advertise-address={NODE_IP}", "--secure-port=6443", f"--tls-cert-file={pki}/api.crt",
        f"--tls-private-key-file={pki}/api.key", f"--client-ca-file={pki}/ca.crt", "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction", f"--service-cluster-ip-range={SERVICES}",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-account-key-file={pki}/sa.pub", f"--kubelet-client-certificate={pki}/api-kubelet.crt",
        f"--kubelet-client-key={pki}/api-kubelet.key", "--allow-privileged",
        "--kubelet-preferred-address-types=InternalIP", f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client", "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front.crt", f"--proxy-client-key-file={pki}/front.key",
        "--enable-aggregator-routing",
    ]  # fmt: skip


def _as(pki: Path, user: str) -> list[str]:
    conf = f"{pki}/{user}.conf"
    return [f"--kubeconfig={conf}", f"--authentication-kubeconfig={conf}", f"--authorization-kubeconfig={conf}"]


def controller_manager(binaries: Path, pki: Path) -> list[str]:
    """Return the controller manager's words; autoscaling looks every two seconds and goes down after ten."""
    return [
        f"{binaries}/kube-controller-manager", *_as(pki, "kcm"), "--bind-address=127.0.0.1", "--leader-elect=false",
        "--use-service-account-credentials", f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt", f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key", f"--cluster-cidr={PODS}",
        "--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-downscale-stabilization=10s",
    ]  # fmt: skip


def scheduler(binaries: Path, pki: Path) -> list[str]:
    """Return the scheduler's words."""
    return [f"{binaries}/kube-scheduler", *_as(pki, "sched"), "--bind-address=127.0.0.1", "--leader-elect=false"]


def kubelet(binaries: Path, folder: Path, pki: Path, cgroup: str) -> list[str]:
    """Return the kubelet's words; its pods live below a control group of this cluster's own."""
    return [
        f"{binaries}/kubelet", f"--kubeconfig={pki}/node.conf", f"--hostname-override={NODE}", f"--node-ip={NODE_IP}",
        f"--address={NODE_IP}", "--container-runtime=remote",
        f"--container-runtime-endpoint=unix://{folder}/containerd.sock", f"--pod-infra-container-image={PAUSE}",
        "--cgroup-driver=cgroupfs", f"--cgroup-root={cgroup}", "--fail-swap-on=false", "--root-dir=/var/lib/kubelet",
        f"--cert-dir={pki}/kubelet", f"--client-ca-file={pki}/ca.crt", "--authentication-token-webhook",
        "--authorization-mode=Webhook", "--anonymous-auth=false", f"--tls-cert-file={pki}/node.crt",
        f"--tls-private-key-file={pki}/node.key", "--oom-score-adj=0", "--register-node",
        "--node-status-update-frequency=1s", "--resolv-conf=", "--healthz-bind-address=127.0.0.1",
        "--image-gc-high-threshold=100", "--eviction-hard=", "--make-iptables-util-chains=true",
        f"--volume-plugin-dir={folder}/volume-plugins", f"--cluster-dns={DNS_IP}", f"--cluster-domain={DOMAIN}",
        f"--max-pods={MAX_PODS}",
    ]  # fmt: skip


def proxy(binaries: Path, pki: Path) -> list[str]:
    """Return kube-proxy's words."""
    return [
        f"{binaries}/kube-proxy", f"--kubeconfig={pki}/proxy.conf", "--proxy-mode=iptables", f"--cluster-cidr={PODS}",
        f"--hostname-override={NODE}", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0", "--oom-score-adj=0", "--healthz-bind-address=127.0.0.1:10256",
    ]  # fmt: skip
