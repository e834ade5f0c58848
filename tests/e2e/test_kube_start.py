"""What a cluster of `make kube` is started with, as far as it can be looked at without one."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

from kube import certificates, cluster, flags, machine, sandbox  # noqa: E402  # found by the line above

SCRIPTS = ("build.sh", "install.sh")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kube") / "pki"
    certificates.write_all(folder, now=datetime.now(UTC))
    return folder


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_scripts_are_posix_shell(script):
    path = REPOSITORY / "tools" / "kube" / script
    subprocess.run(["sh", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in path.read_text()


def test_a_cache_with_all_five_servers_is_not_built_again(tmp_path):
    (tmp_path / "bin").mkdir()
    for server in machine.SERVERS:
        (tmp_path / "bin" / server).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / server).chmod(0o755)
    assert machine.missing_servers(tmp_path) == []
    environ = {**os.environ, "STRONGROOM_KUBE_CACHE": str(tmp_path)}
    done = subprocess.run(
        [str(REPOSITORY / "tools/kube/build.sh")], env=environ, capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b""
    (tmp_path / "bin" / "kubelet").unlink()
    assert machine.missing_servers(tmp_path) == ["kubelet"]


def test_the_cache_is_where_the_variable_says_or_in_the_users_cache():
    assert machine.cache_folder({"STRONGROOM_KUBE_CACHE": "/x"}) == Path("/x")
    assert machine.cache_folder({"HOME": "/home/u"}) == Path("/home/u/.cache/strongroom/kube")


def test_every_certificate_is_of_the_cluster_and_for_its_use(pki):
    authority = certificate(pki / "ca.crt")
    for name, leaf in certificates.LEAVES.items():
        found = certificate(pki / f"{name}.crt")
        found.verify_directly_issued_by(authority)
        assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == leaf.name
        groups = [each.value for each in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        assert groups == ([leaf.group] if leaf.group else [])
        uses = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        assert (ExtendedKeyUsageOID.SERVER_AUTH in uses, ExtendedKeyUsageOID.CLIENT_AUTH in uses) == (
            leaf.server,
            leaf.client,
        )
    names = certificate(pki / "api.crt").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
    assert {str(each) for each in names.get_values_for_type(x509.IPAddress)} >= {"10.240.0.10", "10.96.0.1"}


def test_other_api_servers_are_shown_a_certificate_of_another_authority(pki):
    certificate(pki / "front.crt").verify_directly_issued_by(certificate(pki / "front-ca.crt"))
    with pytest.raises(ValueError, match="Issuer"):
        certificate(pki / "front.crt").verify_directly_issued_by(certificate(pki / "ca.crt"))


def test_private_keys_are_for_their_owner_alone(pki):
    assert {path.stat().st_mode & 0o777 for path in pki.iterdir()} == {0o600}
    assert pki.stat().st_mode & 0o777 == 0o700


def test_kubeconfigs_name_the_api_server_its_authority_and_one_user(pki):
    for name in certificates.KUBECONFIGS:
        found = yaml.safe_load((pki / f"{name}.conf").read_bytes())
        assert found["clusters"][0]["cluster"]["server"] == "https://10.240.0.10:6443"
        data = base64.b64decode(found["users"][0]["user"]["client-certificate-data"])
        assert data == (pki / f"{name}.crt").read_bytes()


def test_what_the_runtime_keeps_lies_in_the_clusters_own_folder():
    config = tomllib.loads(flags.containerd_config(Path("/tmp/c")))
    assert config["root"].startswith("/tmp/c/")
    assert config["grpc"]["address"] == "/tmp/c/containerd.sock"
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == flags.PAUSE
    assert [each["type"] for each in json.loads(flags.pod_network())["plugins"]] == ["bridge", "portmap"]


def test_every_file_that_a_flag_names_is_written(pki):
    words = [*flags.apiserver(Path("/b"), pki), *flags.controller_manager(Path("/b"), pki),
             *flags.scheduler(Path("/b"), pki), *flags.proxy(Path("/b"), pki),
             *flags.kubelet(Path("/b"), pki.parent, pki, "/group")]  # fmt: skip
    named = {Path(match) for word in words for match in re.findall(rf"{re.escape(str(pki))}/[\w.-]+", word)}
    made_later = {pki / "kubelet"}
    assert named - made_later == {path for path in named - made_later if path.exists()}
    assert len(named) > 15


def test_an_image_is_an_archive_that_names_its_digests(tmp_path):
    layer = tmp_path / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.add(REPOSITORY / "tools" / "kube" / "pause.c", "pause")
    cluster.docker_archive(tmp_path / "image.tar", layer, name="localhost/pause:1", entrypoint=["/pause"])
    with tarfile.open(tmp_path / "image.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        config = json.load(tar.extractfile(manifest[0]["Config"]))
        assert tar.extractfile(manifest[0]["Layers"][0]).read() == layer.read_bytes()
    assert manifest[0]["RepoTags"] == ["localhost/pause:1"]
    assert config["config"]["Entrypoint"] == ["/pause"]


def test_waiting_ends_with_what_was_waited_for(tmp_path):
    answers = iter([False, False, True])
    assert cluster.wait_until("it happens", lambda: next(answers), every_s=0) >= 0
    with pytest.raises(sandbox.SandboxFailed, match="still not so that pigs fly"):
        cluster.wait_until("pigs fly", lambda: False, timeout_s=0, every_s=0)


@pytest.fixture
def namespaces():
    if os.geteuid() != 0:
        pytest.skip("only root may make namespaces, mounts and control groups")
    for program in ("unshare", "nsenter", "setpriv", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not here")
    try:
        subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "true"], check=True,
                       capture_output=True, timeout=20)  # fmt: skip
    except subprocess.CalledProcessError as problem:
        pytest.skip(f"this machine makes no namespaces: {problem.stderr.decode()[-200:]}")


def test_a_sandbox_has_a_network_and_mounts_of_its_own_and_leaves_nothing(namespaces, tmp_path):
    folder = tmp_path / "strongroom-kube-test"
    folder.mkdir()
    with sandbox.Sandbox(folder) as inside:
        inside.run(["ip", "link", "set", "lo", "up"])
        assert "veth" not in inside.run(["ip", "-brief", "link"])
        (folder / "run" / "mine").write_text("here")
        assert inside.run(["cat", "/run/mine"]) == "here"
        inside.start("sleeper", ["sleep", "1000"])
        inside.look_after()
        assert inside.memory_mib().keys() == {"sleeper"}
        sleeper = inside.processes["sleeper"]
        assert any(each.startswith("process") for each in cluster.leftovers(folder.name))
    assert sleeper.returncode is not None
    assert [each for each in cluster.leftovers(folder.name) if "folder" not in each] == []


def test_a_server_that_ends_by_itself_is_told_with_its_last_words(namespaces, tmp_path):
    with sandbox.Sandbox(tmp_path) as inside:
        inside.start("broken", ["sh", "-c", "echo no such flag; exit 3"])
        inside.processes["broken"].wait(20)
        with pytest.raises(sandbox.SandboxFailed, match=r"(?s)broken ended with status 3.*no such flag"):
            inside.look_after()
        with pytest.raises(sandbox.SandboxFailed, match="status 1"):
            inside.run(["false"])


def test_a_killed_program_takes_its_sandbox_with_it(namespaces, tmp_path):
    script = (
        "import sys, pathlib, time\n"
        f"sys.path.insert(0, {str(REPOSITORY / 'tools')!r})\n"
        "from kube.sandbox import Sandbox\n"
        f"inside = Sandbox(pathlib.Path({str(tmp_path)!r})).__enter__()\n"
        "inside.start('sleeper', ['sleep', '1000'])\n"
        "print(inside._first, flush=True)\n"
        "time.sleep(1000)\n"
    )
    program = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    first = int(program.stdout.readline())
    assert Path(f"/proc/{first}").exists()
    program.kill()
    program.wait(20)
    program.stdout.close()
    cluster.wait_until("it is gone", lambda: not running(first), timeout_s=20)


def running(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
