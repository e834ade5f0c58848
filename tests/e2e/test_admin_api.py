"""A broker's administration as whole processes: the command line here, the broker there, and what others can see."""

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

STRONGROOM = [sys.executable, "-m", "strongroom"]
CANARY = b"canary-5c1e77d2f09a4b83"
SHAPES = (CANARY, CANARY.hex().encode(), b"Y2FuYXJ5LTVjMWU3N2QyZjA5YTRiODM=")


def strongroom(*words, cwd, expect=0):
    done = subprocess.run([*STRONGROOM, *words], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout


@pytest.fixture
def broker(tmp_path):
    """A broker with an admin port, and an owner called alice."""
    strongroom("init", cwd=tmp_path)
    strongroom("broker", "admin", "add", "alice", "--role", "owner", "--out", "alice", cwd=tmp_path)
    running = []

    def start(*words):
        with (tmp_path / "broker.log").open("a") as log:
            process = subprocess.Popen(
                [*STRONGROOM, "broker", "serve", "--port", "0", "--ready-file", "ready", *words],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        running.append(process)
        process.stdout.readline()
        return process, dict(reversed(line.rsplit(" ", 1)) for line in _ports(tmp_path))

    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


def _ports(folder):
    """Yield `ADDRESS:PORT NAME` for each port, as the ready file has them."""
    for line in (folder / "ready").read_text().splitlines():
        name, _, place = line.rpartition(" ")
        yield f"{place} {name or 'gramine'}"


def listening(port):
    """Return the addresses (hex, as the kernel writes them) on which somebody listens on a port."""
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    places = [fields[1].split(":") for line in lines if (fields := line.split())[3] == "0A"]
    return {address for address, number in places if int(number, 16) == port}


def anonymous(port, path, ca):
    """Ask without a certificate; return the status."""
    context = ssl.create_default_context(cafile=ca)
    try:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", context=context, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def test_dp_12_the_defaults_listen_on_this_machine_and_administer_nobody(broker, tmp_path):
    _, ports = broker("--admin-port", "0")
    for place in ports.values():
        assert listening(int(place.rpartition(":")[2])) == {"0100007F"}  # 127.0.0.1
    port = ports["admin"].rpartition(":")[2]
    ca = tmp_path / "strongroom-workspace/ca/ca_cert.pem"
    for path in ("/v1/status", "/v1/openapi.json", "/v1/logins", "/v1/x"):
        assert anonymous(port, path, ca) == 401


def test_dp_12_without_the_option_there_is_no_admin_port(broker):
    _, ports = broker()
    assert set(ports) == {"gramine"}


def test_sa_09_people_act_on_a_running_broker_under_their_own_names(broker, tmp_path):
    _, ports = broker("--admin-port", "0")
    url = f"https://localhost:{ports['admin'].rpartition(':')[2]}"
    alice = ["--broker", url, "--identity", "alice"]
    strongroom("tenant", "create", "acme", *alice, cwd=tmp_path)
    strongroom(
        "broker", "admin", "add", "bob", "--role", "keeper", "--tenant", "acme", "--out", "bob", *alice, cwd=tmp_path
    )
    bob = ["--broker", url, "--identity", "bob"]
    strongroom("key", "create", "secret/db", "--tenant", "acme", *bob, cwd=tmp_path)
    strongroom("key", "list", "--tenant", "default", *bob, cwd=tmp_path, expect=2)
    strongroom("tenant", "create", "corp", *bob, cwd=tmp_path, expect=3)
    tenants = json.loads(strongroom("tenant", "list", "--json", *bob, cwd=tmp_path))
    assert [each["name"] for each in tenants] == ["acme"]
    strongroom("broker", "admin", "remove", "bob", cwd=tmp_path)  # on the workspace, beside the running broker
    strongroom("key", "list", "--tenant", "acme", *bob, cwd=tmp_path, expect=3)
    status = json.loads(strongroom("broker", "status", "--json", *alice, cwd=tmp_path))
    assert (status["tenants"], len(status["brokers"])) == (2, 1)
    owner = strongroom(
        "broker", "status", "--broker", url, "--identity", "strongroom-workspace/admin/owner", cwd=tmp_path
    )
    assert "store" in owner


def test_kd_21_a_secret_on_its_way_in_is_seen_by_nobody(broker, tmp_path):
    process, ports = broker("--admin-port", "0")
    url = f"https://localhost:{ports['admin'].rpartition(':')[2]}"
    putting = subprocess.Popen(
        [*STRONGROOM, "key", "put", "secret/db", "--from", "-", "--broker", url, "--identity", "alice"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    putting.stdin.write(CANARY)
    putting.stdin.flush()  # it reads on: the secret is in its hands now
    seen = b"".join(_visible(pid) for pid in (process.pid, putting.pid))
    out, err = putting.communicate(timeout=60)
    assert putting.returncode == 0, err
    (tmp_path / "refused").touch(mode=0o600)
    (tmp_path / "refused").write_bytes(CANARY)
    refused = subprocess.run(
        [*STRONGROOM, "key", "put", "model/m/1", "--from", "refused", "--broker", url, "--identity", "alice"],
        cwd=tmp_path, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    (tmp_path / "refused").unlink()
    listed = strongroom("key", "list", "--broker", url, "--identity", "alice", cwd=tmp_path)
    seen += out + err + refused.stdout + refused.stderr + listed.encode() + _visible(process.pid)
    seen += b"".join(map(_content, tmp_path.rglob("*")))  # logs, ledger, store
    for shape in SHAPES:
        assert shape not in seen


def _content(path):
    with suppress(FileNotFoundError, IsADirectoryError):  # what is written anew has its name once it is whole
        return path.read_bytes()
    return b""


def _visible(pid):
    with suppress(PermissionError):  # a broker lets nobody but root look
        return b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
    return b""


def test_a_login_opens_the_console_once(broker, tmp_path):
    _, ports = broker("--admin-port", "0")
    port = ports["admin"].rpartition(":")[2]
    url = strongroom("broker", "login", "--broker", f"https://localhost:{port}", "--identity", "alice", cwd=tmp_path)
    address, _, code = url.strip().partition("#")
    assert address == f"https://localhost:{port}/console/login"
    assert code not in (tmp_path / "broker.log").read_text()
    assert anonymous(port, "/console/login", tmp_path / "strongroom-workspace/ca/ca_cert.pem") == 200
