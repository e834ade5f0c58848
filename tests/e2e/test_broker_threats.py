"""A broker process with all its ports, as attackers on its machine and network find it."""

import base64
import os
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.broker import BrokerRefused, provision
from strongroom.broker.kbs_client import obtain
from strongroom.broker.names import SecretName
from strongroom.cli import main
from strongroom.platforms.simulated import EnclaveIdentity, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

STRONGROOM = [sys.executable, "-m", "strongroom"]
MODEL = SecretName.parse("model/m/1")
KEY = bytes.fromhex("5ec7e7a1b2c3d4e5f60718293a4b5c6d")
RULE = '[[rule]]\nname = "r"\nmrenclave = "{}"\ntrust_domains = ["simulated"]\nrelease = "model/m/1"\n'
IDLE = 200
PAGES = (
    "/metrics", "/healthz", "/readyz", "/v1/status", "/v1/leases", "/v1/decisions", "/v1/ledger/lines",
    "/v1/tenants/default/keys", "/v1/tenants/default/policy", "/v1/revocations",
)  # fmt: skip


def unprivileged():
    """Return what takes root's privileges away from a command, where we are root and it is here."""
    is_root = os.geteuid() == 0 and shutil.which("setpriv") is not None
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if is_root else []


class Platform:
    def __init__(self, world, first=0xE1):
        self._world = world
        self._identity = EnclaveIdentity(
            mr_enclave=bytes([first]) * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3
        )

    def quote(self, report_data):
        return self._world.quote(self._identity, report_data)


class Broker:
    """A process, its ports, and who may ask it what."""

    def __init__(self, folder, workspace, world):
        self.folder, self.workspace, self.world = folder, workspace, world
        with (folder / "broker.log").open("a") as log:
            self.process = subprocess.Popen(
                [*unprivileged(), *STRONGROOM, "broker", "serve", "--port", "0", "--kbs-port", "0", "--admin-port", "0",
                 "--ready-file", "ready", "--log-format", "json", "--workspace", str(workspace.folder)],
                cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.process.stdout.readline()
        lines = (folder / "ready").read_text().splitlines()
        self.ports = {line.rpartition(" ")[0] or "gramine": int(line.rpartition(":")[2]) for line in lines}

    def gramine(self, platform):
        return provision(
            "localhost", self.ports["gramine"], ca_pem=self.workspace.ca_certificate_pem, platform=platform
        )

    def kbs(self, platform, name=MODEL):
        url = f"https://localhost:{self.ports['kbs']}"
        return obtain(url, name, ca_pem=self.workspace.ca_certificate_pem, platform=platform).secret

    def admin(self, path):
        context = ssl.create_default_context(cadata=self.workspace.ca_certificate_pem.decode())
        identity = self.workspace.folder / "admin" / "owner"
        context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        url = f"https://localhost:{self.ports['admin']}{path}"
        with urllib.request.urlopen(url, context=context, timeout=60) as answer:
            return answer.read()

    def log(self):
        return (self.folder / "broker.log").read_bytes()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("threats")
    workspace = Workspace.create(folder / "workspace", now=datetime.now(UTC))
    world_words = ["--world", str(folder / "world"), "--beside-real-tee"]
    assert main(["sim", "init", *world_words]) == 0
    assert main(["sim", "collateral", *world_words, "--out", str(workspace.folder / "trust")]) == 0
    workspace.policy_path.write_text("version = 1\n" + RULE.format("e1" * 32))
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(KEY)
    put = ["key", "put", str(MODEL), "--from", str(folder / "key"), "--workspace", str(workspace.folder)]
    assert main(put) == 0
    (folder / "key").unlink()
    running = Broker(folder, workspace, World.open(folder / "world"))
    yield running
    running.process.terminate()
    running.process.communicate(timeout=60)
    assert running.process.returncode == 0


def story(broker):
    """Let one replica have its key by either protocol, and another one be refused."""
    right, wrong = Platform(broker.world), Platform(broker.world, first=0x0F)
    assert broker.gramine(right) == broker.kbs(right) == Secret(KEY)
    for ask in (broker.gramine, broker.kbs):
        with pytest.raises(BrokerRefused):
            ask(wrong)


def everything_that_others_see(broker, *, store=True):
    """Log, metrics, pages, answers of the administration, files, and what the process shows of itself."""
    proc = Path(f"/proc/{broker.process.pid}")
    pages = [broker.admin(path) for path in PAGES]
    world = broker.folder / "world"  # the simulated hardware itself
    files = [path for path in broker.folder.rglob("*") if path.is_file() and world not in path.parents]
    files = [path for path in files if store or not path.name.startswith("broker.db")]
    return b"\n".join(
        [broker.log(), *pages, (proc / "cmdline").read_bytes(), (proc / "environ").read_bytes(),
         *map(content, files)]
    )  # fmt: skip


def content(path):
    """Return a file's bytes; none where it has another name by now, as what is written anew has once it is whole."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def shapes(raw):
    yield from (raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"="))
    yield base64.urlsafe_b64encode(raw).rstrip(b"=")


def test_kd_21_a_released_key_is_in_no_log_metric_page_file_argument_or_environment(broker):
    story(broker)
    seen = everything_that_others_see(broker)
    assert b'"granted"' in seen or b"released" in seen
    for shape in shapes(KEY):
        assert shape not in seen


def test_pl_07_no_log_metric_page_backup_or_file_names_the_platform_of_the_run(broker):
    """But for the rows of KBS sessions, which need it for minutes and are in no backup."""
    story(broker)
    backup = broker.folder / "backup"
    assert main(["broker", "backup", "--out", str(backup), "--workspace", str(broker.workspace.folder)]) == 0
    assert backup.exists()
    seen = everything_that_others_see(broker, store=False)
    for shape in shapes(broker.world.hardware.ppid):
        assert shape not in seen
    assert b'"platform"' in seen  # it is named by its keyed hash


def test_kd_21_what_holds_keys_is_for_its_owner_alone(broker):
    loose = [
        path for path in broker.workspace.folder.rglob("*")
        if path.is_file() and ("key" in path.name or path.name.startswith("broker.db")) and path.stat().st_mode & 0o077
        and not path.name.endswith((".pub", ".pub.pem"))
    ]  # fmt: skip
    assert [path for path in loose if b"PRIVATE" in path.read_bytes() or path.suffix == ".db"] == []


@pytest.mark.skipif(
    os.geteuid() == 0 and not unprivileged(), reason="root may look into everything, and setpriv is not here"
)
def test_kd_22_nobody_of_the_same_user_can_look_into_a_running_broker(broker):
    """Whoever runs as the broker's user, without privileges, reads another process of theirs and not this one."""
    other = subprocess.Popen([*unprivileged(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdin.write(b"here")
    other.stdin.flush()
    assert other.stdout.read(4) == b"here"
    assert looked_into(other.pid)
    other.communicate(timeout=60)
    for what in ("environ", "maps", "auxv"):
        assert not looked_into(broker.process.pid, what)


def looked_into(pid, what="environ"):
    done = subprocess.run([*unprivileged(), "cat", f"/proc/{pid}/{what}"], capture_output=True, check=False)
    return done.returncode == 0 and done.stdout != b""


@pytest.mark.parametrize("port", ["gramine", "kbs", "admin"])
def test_fb_16_200_idle_half_open_and_dripping_peers_of_a_port_keep_nobody_out_of_any(broker, port):
    platform = Platform(broker.world)
    with ExitStack() as held:
        peers = [held.enter_context(socket.create_connection(("127.0.0.1", broker.ports[port]), timeout=30))
                 for _ in range(IDLE)]  # fmt: skip
        for half in peers[: IDLE // 4]:
            half.sendall(b"\x16\x03\x01\x02")  # the beginning of a record
        for _ in range(3):
            with suppress(OSError):
                peers[-1].sendall(b"\x16")  # one byte at a time
            assert broker.gramine(platform) == Secret(KEY)
            assert broker.kbs(platform) == Secret(KEY)
            assert b"strongroom" in broker.admin("/metrics")


def test_sv_10_over_each_port_a_refusal_has_its_reason_for_the_owner_alone(broker):
    with pytest.raises(BrokerRefused) as told:
        broker.gramine(Platform(broker.world, first=0x0E))
    assert "MRENCLAVE" not in str(told.value)
    with pytest.raises(BrokerRefused) as told:
        broker.kbs(Platform(broker.world, first=0x0E))
    assert "MRENCLAVE" not in str(told.value)
    assert b"POLICY_MRENCLAVE" in broker.log()
    context = ssl.create_default_context(cadata=broker.workspace.ca_certificate_pem.decode())
    with pytest.raises(urllib.error.HTTPError) as anonymous:
        urllib.request.urlopen(f"https://localhost:{broker.ports['admin']}/v1/decisions", context=context, timeout=60)
    with anonymous.value as answer:
        assert answer.code == 401
        assert b"MRENCLAVE" not in answer.read()
