"""The verbs that drive a cluster, against a real Kubernetes API server (1.20) and etcd; no node, so nothing runs.

Skipped where `tools/kube/build.sh` has not built the server.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from strongroom.cli import main
from strongroom.ports import free_ports

CACHE = Path(os.environ.get("STRONGROOM_KUBE_CACHE", Path.home() / ".cache/strongroom/kube"))
SERVER = CACHE / "bin/kube-apiserver"
PROGRAMS = Path(sys.executable).parent
START_S = 60

pytestmark = pytest.mark.skipif(
    not SERVER.exists() or not shutil.which("etcd"), reason="tools/kube/build.sh has not built a Kubernetes API server"
)


def certificates(place):
    def run(*words):
        subprocess.run(["openssl", *words], check=True, cwd=place, capture_output=True)

    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
        "-out", "ca.crt", "-subj", "/CN=kube-ca", "-days", "2")  # fmt: skip
    run("genrsa", "-out", "sa.key", "2048")
    run("rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")
    for name, subject, usage in (
        ("api", "/CN=kube-apiserver", "serverAuth"),
        ("admin", "/O=system:masters/CN=admin", "clientAuth"),
        ("nobody", "/CN=nobody", "clientAuth"),
    ):
        (place / "ext").write_text(f"extendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
            "-out", "csr", "-subj", subject)  # fmt: skip
        run("x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", f"{name}.crt")  # fmt: skip


def kubeconfig(place, user, port):
    path = place / f"{user}.conf"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}",
                                               "certificate-authority": str(place / "ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate": str(place / f"{user}.crt"),
                                          "client-key": str(place / f"{user}.key")}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": user}}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Kubeconfigs of an administrator, of somebody without rights, and of a server that is not there."""
    place = tmp_path_factory.mktemp("api")
    certificates(place)
    client, peer, port, dead = free_ports(4)
    address = f"http://127.0.0.1:{client}"
    etcd = [shutil.which("etcd"), "--data-dir", str(place / "etcd"), "--listen-client-urls", address,
            "--advertise-client-urls", address, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"]  # fmt: skip
    api = [str(SERVER), f"--etcd-servers={address}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
           f"--secure-port={port}", f"--tls-cert-file={place}/api.crt", f"--tls-private-key-file={place}/api.key",
           f"--client-ca-file={place}/ca.crt", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
           "--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://kubernetes.default.svc",
           f"--service-account-signing-key-file={place}/sa.key", f"--service-account-key-file={place}/sa.pub",
           "--endpoint-reconciler-type=none", f"--cert-dir={place}/certs"]  # fmt: skip
    found = {name: kubeconfig(place, name, port) for name in ("admin", "nobody")}
    (place / "dead").mkdir()
    found["dead"] = place / "dead.conf"
    found["dead"].write_text(found["admin"].read_text().replace(f":{port}", f":{dead}"))
    with (place / "log").open("wb") as log:
        children = [subprocess.Popen(each, stdout=log, stderr=log, stdin=subprocess.DEVNULL) for each in (etcd, api)]
        try:
            deadline = time.monotonic() + START_S
            ask = [str(PROGRAMS / "kubectl"), f"--kubeconfig={found['admin']}", "get", "--raw=/readyz"]
            while subprocess.run(ask, capture_output=True, check=False).returncode != 0:
                if time.monotonic() > deadline or any(each.poll() is not None for each in children):
                    pytest.fail((place / "log").read_text(errors="replace")[-3000:])
                time.sleep(0.3)
            yield found
        finally:
            for each in reversed(children):
                each.terminate()
            for each in reversed(children):
                try:
                    each.wait(20)
                except subprocess.TimeoutExpired:
                    each.kill()
                    each.wait()


MODEL = """
[deploy]
replicas = 2
[[deploy.model]]
name = "tiny"
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    place = tmp_path_factory.mktemp("owner") / "workspace"
    assert strongroom("init", str(place)).returncode == 0
    with (place / "strongroom.toml").open("a") as file:
        file.write(MODEL)
    return place


def strongroom(*words, kubeconfig=None):
    """Run a verb in this process, which has imported what each verb needs; the programs that it starts are real."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setenv("PATH", f"{PROGRAMS}:{os.environ['PATH']}")
        patch.setenv("KUBECONFIG", str(kubeconfig or "/nowhere"))
        status = main(words)
    return SimpleNamespace(returncode=status, stdout=stdout.getvalue(), stderr=stderr.getvalue())


@pytest.fixture(scope="module")
def deploy(server, workspace):
    """Run a verb against the cluster as its administrator."""

    def run(verb, *words, user="admin"):
        return strongroom("deploy", verb, "--workspace", str(workspace), *words, kubeconfig=server[user])

    return run


@pytest.fixture(scope="module")
def kubectl(server):
    def run(*words, given=None):
        argv = [str(PROGRAMS / "kubectl"), f"--kubeconfig={server['admin']}", "--namespace=strongroom", *words]
        found = subprocess.run(argv, input=given, capture_output=True, check=False)
        assert found.returncode == 0, found.stderr
        return found.stdout.decode()

    return run


@pytest.fixture(scope="module")
def applied(deploy):
    found = deploy("apply", "--no-wait", "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@pytest.fixture
def applied_again(deploy):
    """Leave a deployment behind a test that deletes it: another process's tests come in any order."""
    yield
    assert deploy("apply", "--no-wait").returncode == 0


def fates(answer):
    return {f"{each['kind']}/{each['name']}": each["fate"] for each in json.loads(answer.stdout)["changes"]}


def test_everything_is_applied_once_and_the_second_time_nothing_changes(deploy, applied):
    assert applied["applied"]
    again = deploy("apply", "--no-wait", "--json")
    assert set(fates(again).values()) == {"same"}
    assert deploy("apply", "--no-wait").stdout == "nothing changes\n"


def test_the_clusters_own_version_decides_about_api_versions(applied, kubectl):
    assert applied["applied"]
    found = json.loads(kubectl("get", "poddisruptionbudget", "strongroom-model-server", "-o", "json"))
    assert found["apiVersion"] == "policy/v1beta1"  # of 1.20


def test_a_dry_run_shows_a_change_and_makes_none(applied, deploy, kubectl):
    assert applied
    kubectl("patch", "deployment", "strongroom-model-server", "--type=merge", "--field-manager=strongroom-scale",
            '--patch={"spec": {"replicas": 7}}')  # fmt: skip
    shown = deploy("apply", "--dry-run")
    assert "spec.replicas: 7 -> 2" in shown.stdout
    assert kubectl("get", "deployment", "strongroom-model-server", "-o", "jsonpath={.spec.replicas}") == "7"
    assert deploy("apply", "--no-wait").returncode == 0


def test_what_somebody_else_has_set_is_not_taken_over_unasked(applied, deploy, kubectl):
    assert applied
    kubectl("patch", "service", "strongroom-front", "--type=merge", "--field-manager=somebody",
            '--patch={"spec": {"type": "NodePort"}}')  # fmt: skip
    refused = deploy("apply", "--no-wait")
    assert (refused.returncode, "SR-KUBECTL-CONFLICT" in refused.stderr) == (3, True)
    assert "somebody" in refused.stderr
    assert deploy("apply", "--no-wait", "--force").returncode == 0


def test_what_is_no_longer_rendered_is_removed(applied, deploy, kubectl):
    assert applied
    left = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-an-older-release", "labels": {
        "app.kubernetes.io/instance": "strongroom", "app.kubernetes.io/part-of": "strongroom",
        "app.kubernetes.io/managed-by": "strongroom"}}}  # fmt: skip
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-somebody-else"}}
    for each in (left, other):
        kubectl("apply", "-f", "-", given=json.dumps(each).encode())
    assert fates(deploy("apply", "--no-wait", "--json"))["ConfigMap/of-an-older-release"] == "removed"
    names = kubectl("get", "configmaps", "-o", "name")
    assert "of-an-older-release" not in names
    assert "of-somebody-else" in names


def test_scaling_changes_the_number_and_applying_goes_back_without_a_conflict(applied, deploy, kubectl):
    assert applied
    scaled = deploy("scale", "4", "--timeout", "0")
    assert (scaled.returncode, "SR-DEPLOY-NOT-READY" in scaled.stderr) == (4, True)  # nothing runs here
    assert "-> 4 replicas" in scaled.stderr
    assert kubectl("get", "deployment", "strongroom-model-server", "-o", "jsonpath={.spec.replicas}") == "4"
    assert "spec.replicas: 4 -> 2" in deploy("apply", "--no-wait").stdout


def test_more_replicas_than_a_deployment_may_have_are_refused(applied, deploy):
    assert applied
    assert "SR-SCALE-TOO-MANY" in deploy("scale", "1000000").stderr


def test_an_autoscaler_is_not_overruled(applied, deploy, kubectl):
    assert applied
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "strongroom-model-server"}
    scaler = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": target["name"]},
              "spec": {"maxReplicas": 5, "scaleTargetRef": target}}  # fmt: skip
    kubectl("apply", "-f", "-", given=json.dumps(scaler).encode())
    try:
        found = deploy("scale", "3")
    finally:
        kubectl("delete", "horizontalpodautoscaler", "strongroom-model-server")
    assert (found.returncode, "SR-SCALE-AUTOMATIC" in found.stderr) == (2, True)


def test_a_status_names_the_replica_and_why_it_is_not_ready(applied, deploy, kubectl):
    assert applied
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "strongroom-model-server-x", "labels": {
            "app.kubernetes.io/instance": "strongroom", "app.kubernetes.io/component": "model-server"}},
        "spec": {"containers": [{"name": "model-server", "image": "r/x:v9"}]},
    }  # fmt: skip
    status = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient sgx.intel.com/epc."}],
    }  # fmt: skip
    kubectl("apply", "-f", "-", given=json.dumps(pod).encode())
    kubectl("patch", "pod", "strongroom-model-server-x", "--subresource=status", "--type=merge",
            f"--patch={json.dumps({'status': status})}")  # fmt: skip
    found = deploy("status")
    listed = deploy("status", "--json", "--no-broker")
    kubectl("delete", "pod", "strongroom-model-server-x", "--grace-period=0", "--force")
    assert "no node has room" in found.stdout
    assert "[deploy.resources] epc" in found.stdout
    assert "the broker is not asked" in found.stderr
    replica = next(each for each in json.loads(listed.stdout)["replicas"] if each["pod"].endswith("-x"))
    assert (replica["standing"], replica["ready"]) == ("waiting", False)


def test_dp_06_the_preflight_names_what_this_cluster_lacks(deploy):
    found = deploy("doctor", "--offline", "--json")
    assert (found.returncode, "SR-DEPLOY-DOCTOR" in found.stderr) == (2, True)
    lacking = {each["topic"] for each in json.loads(found.stdout)["cluster"] if each["standing"] == "missing"}
    assert lacking == {"Nodes", "CPU", "Memory", "Models"}


def test_a_newer_kubernetes_than_the_clusters_is_refused_before_anything_is_applied(deploy, workspace):
    settings = workspace / "strongroom.toml"
    before = settings.read_text()
    settings.write_text(before.replace("replicas = 2", 'replicas = 2\nkubernetes = "1.30"'))
    try:
        found = deploy("apply", "--no-wait")
    finally:
        settings.write_text(before)
    assert (found.returncode, "SR-CLUSTER-OLD" in found.stderr) == (2, True)


@pytest.mark.parametrize(
    ("user", "code", "status"), [("nobody", "SR-KUBECTL-FORBIDDEN", 3), ("dead", "SR-KUBECTL-UNREACHABLE", 4)]
)
@pytest.mark.parametrize("verb", [("status",), ("apply", "--no-wait"), ("delete", "--yes"), ("scale", "3")])
def test_a_cluster_that_cannot_be_used_is_said_with_its_exit_status(deploy, verb, user, code, status):
    found = deploy(*verb, user=user)
    assert (found.returncode, code in found.stderr) == (status, True), found.stderr


RULE = """
[[rule]]
name = "tiny"
mrenclave = "%s"
accepted_tcb_status = ["UpToDate"]
trust_domains = ["simulated"]
allow_debug = false
max_collateral_age_days = 7
release = "model/tiny/1"
"""
OLD, NEW = "ab" * 32, "cd" * 32


def test_a_rollout_whose_replicas_do_not_come_goes_back_and_can_be_taken_up_again(applied, deploy, kubectl, workspace):
    assert applied
    settings = workspace / "strongroom.toml"
    before = settings.read_text()
    settings.write_text(before.replace("replicas = 2", 'replicas = 2\nbroker = "attestation.service.com:4433"'))
    built = workspace / "v2.json"
    built.write_text(json.dumps({"mr_enclave": NEW, "mr_signer": "ef" * 32, "isv_prod_id": 1, "isv_svn": 1}))
    measured = ("--measurement", str(built))
    image = ("get", "deployment", "strongroom-model-server", "-o",
             "jsonpath={.spec.template.spec.containers[0].image}")  # fmt: skip
    try:
        assert "SR-ROLLOUT-NOTHING" in deploy("rollout").stderr
        assert "SR-ROLLOUT-MEASUREMENT" in deploy("rollout", "v2").stderr
        assert "SR-ROLLOUT-OLD" in deploy("rollout", "v2", *measured).stderr
        began = deploy("rollout", "v2", *measured, "--old-measurement", OLD)
        assert "SR-ROLLOUT-NO-RULE" in began.stderr
        with (workspace / "policy.toml").open("a") as file:
            file.write(RULE % OLD)
        assert strongroom("policy", "propose", "--workspace", str(workspace)).returncode == 0
        assert "SR-ROLLOUT-UNDER-WAY" in deploy("rollout", "v3").stderr
        old = kubectl(*image)
        failed = deploy("rollout", "--timeout", "0", "--json")
        assert (failed.returncode, "SR-ROLLOUT-WAITS" in failed.stderr) == (4, True), failed.stderr
        done = json.loads(failed.stdout)
        assert [(each["step"], each["outcome"]) for each in done["steps"]] == [
            ("admit", "done"), ("shift", "failed"), ("restore", "later")
        ]  # fmt: skip
        assert "0 of 2 replicas" in done["why"]
        assert kubectl(*image) == old  # applied again, though no controller is here to start it
        assert NEW in (workspace / "policy.toml").read_text()  # withdrawn only once the old replicas are back
        assert json.loads((workspace / "deploy-rollout.json").read_text())["position"]["step"] == "restore"
    finally:
        settings.write_text(before)
        (workspace / "deploy-rollout.json").unlink(missing_ok=True)


@pytest.mark.usefixtures("applied_again")
def test_deleting_names_what_goes_and_asks_first(applied, deploy, kubectl):
    assert applied
    asked = deploy("delete")
    assert (asked.returncode, "SR-DELETE-NOT-CONFIRMED" in asked.stderr) == (3, True)
    assert "Deployment/strongroom-model-server" in asked.stdout
    assert "Secret/strongroom-simulated-world" in kubectl("get", "secrets", "-o", "name").replace("secret/", "Secret/")
    done = deploy("delete", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert "Namespace/strongroom" not in json.loads(done.stdout)["deleted"]
    left = kubectl("get", "deployments,statefulsets,secrets,configmaps", "-o", "name").split()
    assert set(left) <= {"configmap/of-somebody-else"}


@pytest.mark.usefixtures("applied_again")
def test_what_a_chart_has_made_is_deleted_as_well(deploy, kubectl):
    assert deploy("delete", "--yes").returncode == 0
    installed = deploy("apply", "--helm", "--no-wait")
    assert installed.returncode == 0, installed.stderr
    assert "strongroom-model-server" in kubectl("get", "deployments", "-o", "name")
    assert kubectl("get", "secret", "strongroom-simulated-world", "-o", "name")
    done = deploy("delete", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    left = kubectl("get", "deployments,statefulsets,services,configmaps,secrets", "-o", "name",
                   "--selector=app.kubernetes.io/instance=strongroom")  # fmt: skip
    assert left == ""
    assert kubectl("get", "secrets", "--selector=owner=helm", "-o", "name") == ""
