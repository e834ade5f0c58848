"""The metrics adapter between a real Kubernetes 1.20 (API server, autoscaler), and a real model server.

The part with Kubernetes is skipped where `tools/kube/build.sh` has built none.
"""

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.demo.model import MODEL_NAME, cache_folder, servable
from strongroom.deploy.adapter_sources import IN_FLIGHT, InFlight, Replicas
from strongroom.deploy.clouds import GENERIC
from strongroom.deploy.cluster.applying import carry_out, plan
from strongroom.deploy.cluster.kubectl import Kubectl
from strongroom.deploy.cluster.wide import wide
from strongroom.deploy.description import Autoscaling, Description, Front
from strongroom.deploy.kubernetes import objects
from strongroom.pki import Authority
from strongroom.ports import free_ports
from strongroom.serving.fronts.health_port import health_port
from strongroom.serving.operations.load import Load
from strongroom.serving.operations.readiness import Readiness

BIN = Path(os.environ.get("STRONGROOM_KUBE_CACHE", Path.home() / ".cache/strongroom/kube")) / "bin"
PROGRAMS = Path(sys.executable).parent
WAIT_S = 90
DESCRIBED = Description(
    kubernetes=(1, 20), front=Front.NONE, broker="192.0.2.7:8080",
    autoscaling=Autoscaling(least=1, most=6, requests_in_flight=8),
)  # fmt: skip


def own_address():
    """Return an address of this machine that is not its loopback, which Endpoints may not name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        return probe.getsockname()[0]


def until(condition, what):
    end = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.5)  # between two questions to a server
    return found


@pytest.fixture
def processes():
    started = []
    yield lambda words, **more: started.append(subprocess.Popen(list(map(str, words)), **more)) or started[-1]
    for each in reversed(started):
        each.terminate()
        each.wait(30)
        if each.stdout:
            each.stdout.close()


@pytest.fixture
def kubernetes(tmp_path, processes):
    """Start etcd, an API server that passes requests on, and the autoscaler; return its kubectl and where it is."""
    if not (BIN / "kube-apiserver").exists() or not shutil.which("etcd"):
        pytest.skip("tools/kube/build.sh has not built a Kubernetes API server")
    address, (store, peers, port) = own_address(), free_ports(3)
    now = datetime.now(UTC)
    authority, front = Authority.create("cluster", now=now), Authority.create("front", now=now)
    leaf, proxy = authority.issue_server([address], now=now), front.issue_client("front-proxy-client", now=now)
    for name, content in (("ca.crt", authority.certificate_pem), ("front.crt", front.certificate_pem),
                          ("api.crt", leaf.certificate_pem), ("proxy.crt", proxy.certificate_pem)):  # fmt: skip
        (tmp_path / name).write_bytes(content)
    for name, key in (("api.key", leaf.key_pem), ("proxy.key", proxy.key_pem)):
        with key.reveal() as raw:
            (tmp_path / name).write_bytes(raw)
    subprocess.run(["openssl", "genrsa", "-out", tmp_path / "sa.key", "2048"], check=True, capture_output=True)
    (tmp_path / "tokens").write_text("let-me-in,admin,1,system:masters\n")
    log = (tmp_path / "log").open("w")
    processes(["etcd", f"--data-dir={tmp_path / 'etcd'}", f"--listen-client-urls=http://127.0.0.1:{store}",
               f"--advertise-client-urls=http://127.0.0.1:{store}", f"--listen-peer-urls=http://127.0.0.1:{peers}",
               f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}", "--unsafe-no-fsync",
               f"--initial-cluster=default=http://127.0.0.1:{peers}"], stdout=log, stderr=log)  # fmt: skip
    processes([BIN / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{store}", f"--bind-address={address}",
               f"--advertise-address={address}", f"--secure-port={port}", "--authorization-mode=RBAC",
               f"--tls-cert-file={tmp_path / 'api.crt'}", f"--tls-private-key-file={tmp_path / 'api.key'}",
               f"--token-auth-file={tmp_path / 'tokens'}", "--service-cluster-ip-range=10.96.0.0/16",
               "--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://kubernetes",
               f"--service-account-signing-key-file={tmp_path / 'sa.key'}", "--enable-aggregator-routing",
               f"--service-account-key-file={tmp_path / 'sa.key'}", f"--cert-dir={tmp_path / 'certs'}",
               f"--requestheader-client-ca-file={tmp_path / 'front.crt'}",
               "--requestheader-allowed-names=front-proxy-client",
               "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
               "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--endpoint-reconciler-type=none",
               f"--proxy-client-cert-file={tmp_path / 'proxy.crt'}",
               f"--proxy-client-key-file={tmp_path / 'proxy.key'}"], stdout=log, stderr=log)  # fmt: skip
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": f"https://{address}:{port}",
                                               "certificate-authority": str(tmp_path / "ca.crt")}}],
        "users": [{"name": "u", "user": {"token": "let-me-in"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    kubectl = Kubectl(namespace="strongroom", kubeconfig=tmp_path / "config", program=str(PROGRAMS / "kubectl"))
    ask = [PROGRAMS / "kubectl", f"--kubeconfig={tmp_path / 'config'}", "get", "--raw", "/readyz"]
    until(lambda: not subprocess.run(ask, capture_output=True, check=False).returncode, "the API server is not ready")
    processes([BIN / "kube-controller-manager", f"--kubeconfig={tmp_path / 'config'}", "--leader-elect=false",
               "--controllers=horizontalpodautoscaling", "--horizontal-pod-autoscaler-sync-period=2s",
               "--port=0", "--secure-port=0"], stdout=log, stderr=log)  # fmt: skip
    yield kubectl, address, port, tmp_path
    log.close()


@pytest.fixture
def replica():
    """Run one replica that says how many requests it holds; return that number, to be changed, and its health port."""
    said = {"value": 3}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = health_port("127.0.0.1", 0, Readiness(), Load(lambda: said["value"]))
    yield said, asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(30)
    asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_real_autoscaler_goes_by_the_adapters_number(kubernetes, replica, processes):
    kubectl, address, port, place = kubernetes
    said, replicas_port = replica
    rendered = objects(DESCRIBED, GENERIC)
    carry_out(kubectl, plan(kubectl, "strongroom", rendered))
    assert plan(kubectl, "strongroom", rendered).empty  # applying again changes nothing
    account = place / "account"
    account.mkdir()
    (account / "token").write_bytes(kubectl.run("create", "token", "strongroom-metrics-adapter"))
    shutil.copy(place / "ca.crt", account / "ca.crt")
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": address, "KUBERNETES_SERVICE_PORT": str(port)}
    adapter = processes(
        [sys.executable, "-m", "strongroom", "deploy", "metrics-adapter", "--deployment=strongroom-model-server",
         "--service=strongroom-metrics-adapter", "--namespace=strongroom", f"--replicas=127.0.0.1:{replicas_port}",
         f"--account={account}", "--port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    listening = int(re.search(r":(\d+)$", adapter.stdout.readline())[1])
    subset = {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": listening}]}
    name = {"name": "strongroom-metrics-adapter"}
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": name, "subsets": [subset]}
    kubectl.run("apply", "-f", "-", given=json.dumps(endpoints).encode())  # what a node's kubelet would bring about

    def available():
        service = kubectl.get("apiservice", "v1beta1.external.metrics.k8s.io")
        states = {each["type"]: each["status"] for each in service.get("status", {}).get("conditions", [])}
        return states.get("Available") == "True"

    def wanted():
        scaler = kubectl.get("hpa.v2beta2.autoscaling", "strongroom-model-server")
        return scaler.get("status", {}).get("desiredReplicas", 0)

    until(available, "the API server does not take the adapter's certificate")
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/strongroom/{IN_FLIGHT}"
    assert json.loads(kubectl.run("get", "--raw", path))["items"][0]["value"] == "3"
    said["value"] = 30
    until(lambda: wanted() == 4, "30 requests in flight, 8 of each, are four replicas")
    assert plan(kubectl, "strongroom", rendered).empty  # the CA that the adapter wrote is left alone
    adapter.terminate()
    adapter.wait(30)
    carry_out(kubectl, plan(kubectl, "strongroom", objects(Description(kubernetes=(1, 20), front=Front.NONE), GENERIC)))
    assert wide(kubectl, "strongroom") == ()


def test_a_real_replica_with_two_way_tls_tells_the_adapter_how_busy_it_is(tmp_path, processes):
    def run(*words):
        subprocess.run([sys.executable, "-m", "strongroom", *words], cwd=tmp_path, check=True, capture_output=True)

    run("init")
    run("certs", "two-way", "--server", "localhost", "--client", "client.example")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "1").symlink_to(servable(cache_folder(os.environ)))
    (tmp_path / "monitoring.config").write_text(
        'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
    )
    grpc, rest, health = free_ports(3)
    server = processes(
        [sys.executable, "-m", "strongroom", "serve", f"--port={grpc}", f"--rest_api_port={rest}",
         f"--health_port={health}", f"--model_name={MODEL_NAME}", f"--model_base_path={tmp_path / 'models'}",
         f"--ssl_config_file={tmp_path / 'ssl_configure' / 'ssl.cfg'}",
         f"--monitoring_config_file={tmp_path / 'monitoring.config'}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert any("Entering the event loop" in line for line in server.stdout)
    context = ssl.create_default_context(cafile=tmp_path / "strongroom-workspace" / "ca" / "ca_cert.pem")
    assert not is_answered(rest, context)  # its metrics are for clients that show a certificate
    client = tmp_path / "ssl_configure" / "client"
    context.load_cert_chain(client / "cert.pem", client / "key.pem")
    assert is_answered(rest, context)
    assert InFlight(Replicas(host="localhost", port=health), addresses=lambda: ("127.0.0.1",)).read() == 0


def is_answered(port, context):
    """Return whether a replica shows its metrics; it may refuse in the handshake, or by closing the connection."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET /monitoring/prometheus/metrics HTTP/1.0\r\n\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except (ssl.SSLError, ConnectionError):
        return False
