"""A replica takes each sealed version's own key over KBS; `kbs get`: broker, platform and replica as processes."""

import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 60
MODELS = {"alpha": 2, "beta": 5}


@pytest.fixture(scope="module")
def owner(tmp_path_factory, simulated_owner, models):
    """A workspace with two sealed models, each under its own key, and a simulated world."""
    folder = tmp_path_factory.mktemp("owner")
    publish = simulated_owner(folder)
    publish.do("certs", "one-way", "--server", "localhost", "--out", folder / "ssl")

    def version(name, number, offset, *words, out="models"):
        source = folder / "plain" / name / str(number)
        source.mkdir(parents=True)
        (source / "model.onnx").write_bytes(models.half_plus(offset))
        publish.do("model", "publish", source, "--name", name, "--version", number, "--out", folder / out, *words)

    publish.version = version
    version("alpha", 1, MODELS["alpha"], "--ssl-config", str(folder / "ssl" / "ssl.cfg"))
    version("beta", 1, MODELS["beta"])
    publish.files = SimpleNamespace(context=ssl.create_default_context(cafile=publish.ca), credentials=None)
    return publish


@pytest.fixture(scope="module")
def broker(owner):
    """A broker process that speaks KBS; its address, and what it logs."""
    with owner.broker() as found:
        yield found


@pytest.fixture
def operator(owner, broker, measured_program, tmp_path):
    """What an operator holds: sealed models, public certificates, manifests; and what the owner does meanwhile."""
    shutil.copytree(owner.folder / "models", tmp_path / "models")
    shutil.copy(owner.ca, tmp_path)
    shutil.copy(owner.folder / "workspace" / "signing" / "owner_public.pem", tmp_path)
    listed = "".join(
        f'config {{ name: "{name}" base_path: "{tmp_path}/models/{name}" model_platform: "onnx" }}\n' for name in MODELS
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {listed} }}\n")

    def manifest(words):
        return measured_program(tmp_path / "program.manifest", words, "ca_cert.pem", "owner_public.pem")

    def trust(words, *released):
        measured = json.loads(owner.measure(manifest(words)).read_bytes())
        names = ", ".join(f'"{name}"' for name in released)
        text = (
            f'\n[[rule]]\nname = "{released[0]}"\nmrenclave = "{measured["mr_enclave"]}"\n'
            f'trust_domains = ["simulated"]\nrequire_fresh = true\nbindings = ["transcript"]\nrelease = [{names}]\n'
        )
        with (owner.folder / "workspace" / "policy.toml").open("a") as file:
            file.write(text)

    return SimpleNamespace(
        manifest=manifest, trust=trust, folder=tmp_path,
        run=lambda words: [*STRONGROOM, "sim", "run", *owner.world, str(manifest(words))],
    )  # fmt: skip


def half_plus(server, name):
    status, _, body = server.rest("POST", f"/v1/models/{name}:predict", json.dumps({"inputs": [2.0]}))
    return json.loads(body)["outputs"][0] if status == 200 else status


def until(condition, server):
    pause = threading.Event()
    for _ in range(LIMIT_S * 20):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError(server.log)


def test_kd_12_each_version_has_its_own_key_by_name_and_its_own_lease(owner, broker, operator, launcher, ports):
    words = ["serve", f"--port={ports[0]}", f"--rest_api_port={ports[1]}", "--model_config_file=models.config",
             "--ssl_config_file=models/ssl.cfg", f"--broker={broker.url}", "--broker_ca=ca_cert.pem",
             "--owner_key=owner_public.pem", "--broker_wait_seconds=20", "--key_lease_seconds=6",
             "--file_system_poll_wait_seconds=1"]  # fmt: skip
    operator.trust(words, "model/alpha/1-", "model/beta/1")
    server = launcher.run(operator.run(words), ports=ports, cwd=operator.folder, files=owner.files).wait_ready()
    assert {name: half_plus(server, name) for name in MODELS} == {"alpha": 3.0, "beta": 6.0}

    # The broker's log and the replica's share the request's id.
    asked = re.search(r"request ([0-9a-f]{16}) asks \S+ for model/beta/1", server.log)
    assert re.search(rf"{asked[1]}-[0-9a-f]+: released model/beta/1", broker.log.read_text())

    # A version that comes later brings a key of its own; one that no rule names is not served, and the rest goes on.
    owner.version("alpha", 2, 7, out="new")
    owner.version("beta", 2, 9, out="new")
    for name in MODELS:
        (owner.folder / "new" / name / "2").rename(operator.folder / "models" / name / "2")
    until(lambda: half_plus(server, "alpha") == 8.0, server)
    server.wait_for("beta version 2 is not served")
    assert "SR-KEY-NOT-RELEASED" in server.log
    until(lambda: half_plus(server, "beta") == 6.0, server)

    # Without the owner's consent the leases end, and with it again they come back.
    rules = owner.folder / "workspace" / "policy.toml"
    before = rules.read_bytes()
    rules.write_bytes(before.partition(b'\n[[rule]]\nname = "model/alpha/1-"')[0])
    until(lambda: half_plus(server, "alpha") == 503, server)
    assert (
        "key lease of model/"
        in json.loads(server.rest("POST", "/v1/models/beta:predict", b'{"inputs": [2.0]}')[2])["error"]
    )
    rules.write_bytes(before)
    until(lambda: half_plus(server, "beta") == 6.0, server)
    assert server.end()[0] == 0


def test_fb_21_a_replica_of_another_deployment_takes_no_key_here(owner, broker, operator, launcher, ports):
    words = ["serve", f"--port={ports[0]}", "--model_name=alpha", "--model_base_path=models/alpha",
             "--ssl_config_file=models/ssl.cfg", f"--broker={broker.url}", "--broker_ca=ca_cert.pem",
             "--owner_key=owner_public.pem", "--deployment=another"]  # fmt: skip
    operator.trust(words, "model/alpha/1")
    status, _, log = launcher.run(operator.run(words), ports=ports, cwd=operator.folder, files=owner.files).end(0)
    assert status == 3
    assert "SR-KBS-DOWNGRADE" in log
    assert "Running gRPC" not in log


def test_one_secret_is_taken_on_the_command_line_by_a_measured_program_alone(owner, broker, operator):
    words = ["kbs", "get", "kbs:///default/model/beta.1", f"--broker={broker.url}", "--ca=ca_cert.pem",
             "--out=beta.key", "--json"]  # fmt: skip
    refused = subprocess.run(operator.run(words), cwd=operator.folder, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "SR-BROKER-REFUSED" in refused.stderr
    assert not (operator.folder / "beta.key").exists()

    operator.trust(words, "model/beta/1")
    done = subprocess.run(operator.run(words), cwd=operator.folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["bytes"], found["lease_seconds"]) == (16, 600)
    key = operator.folder / "beta.key"
    assert (key.stat().st_mode & 0o777, len(key.read_bytes())) == (0o600, 16)
    assert key.read_bytes().hex() not in done.stdout + broker.log.read_text()
