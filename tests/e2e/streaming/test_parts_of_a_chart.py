"""A part of the queue's chart as its pod runs it: sealed keys, a broker, the simulated platform, and a real Redis.

The folder of the Secret is filled as a kubelet fills it, from keys.yaml, and refilled when the owner has renewed.
"""

import base64
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import yaml

from strongroom.cli import main
from strongroom.clusterserving.names import Job
from strongroom.ports import free_port
from strongroom.streaming.link.connection import SyncLink
from strongroom.streaming.link.place import Place, RedisRefused

STRONGROOM = [sys.executable, "-m", "strongroom"]
LIMIT_S = 60
JOB = Job()

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@pytest.fixture(scope="module")
def owner(tmp_path_factory, simulated_owner):
    """A workspace with keys for every part, and a simulated world whose quotes the owner can check."""
    found = simulated_owner(tmp_path_factory.mktemp("owner"))
    found.do("keys", "generate", "--out", found.folder / "keys")
    return found


@pytest.fixture(scope="module")
def broker(owner):
    """The address of a broker process that speaks KBS."""
    with owner.broker() as found:
        yield found.url


def mount(owner, part, place):
    """Put a part's Secret where a kubelet would: a folder of its own, and one link that says which."""
    documents = yaml.safe_load_all((owner.folder / "keys/keys.yaml").read_text())
    data = next(each["data"] for each in documents if each["metadata"]["name"] == f"ssl-keys-{part}")
    fresh = place / f"..{len(list(place.iterdir())) if place.exists() else 0}"
    fresh.mkdir(parents=True)
    for name, text in data.items():
        (fresh / name).write_bytes(base64.b64decode(text))
        if not (place / name).is_symlink():
            (place / name).symlink_to(f"..data/{name}")
    link = place / "..new"
    link.symlink_to(fresh.name)
    link.replace(place / "..data")


class Part:
    """A part's process, and what it says."""

    def __init__(self, owner, place, program):
        self.log = ""
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [*STRONGROOM, "sim", "run", *owner.world, str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd=place,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            with self._more:
                self.log += line
                self._more.notify_all()
        with self._more:
            self.log += "ENDED"
            self._more.notify_all()

    def said(self, text):
        with self._more:
            self._more.wait_for(lambda: text in self.log or self.log.endswith("ENDED"), LIMIT_S)
        assert text in self.log, self.log

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(LIMIT_S)
        self._thread.join()
        self.process.stdout.close()
        return status


@pytest.fixture
def redis(owner, broker, measured_program, tmp_path):
    """Redis as its pod runs it, once it accepts connections."""
    place, port = tmp_path / "pod", free_port()
    for name in ("part", "data"):
        (place / name).mkdir(parents=True)
    mount(owner, "redis", place / "ssl-keys")
    (place / "maxmemory").write_text("64mb\n")
    program = measured_program(place / "redis.manifest", [
        "keys", "open", "--part=redis", f"--from={place}/ssl-keys", f"--to={place}/opened", f"--broker={broker}",
        f"--ca={owner.ca}", "--", "queue", "redis", f"--job={JOB.name}", f"--keys={place}/opened",
        f"--run={place}/part", f"--data={place}/data", f"--port={port}", f"--maxmemory-file={place}/maxmemory",
    ], environment=["PATH"])  # fmt: skip
    owner.trust(program, ["secret/ssl-keys"])
    part = Part(owner, place, program)
    try:
        part.said("Ready to accept connections")
        yield SimpleNamespace(part=part, place=place, port=port, folder=place)
    finally:
        if part.process.poll() is None:
            part.end()


def link(owner, port, part, user):
    own = owner.folder / "keys" / part
    return SyncLink(Place(
        host="localhost", port=port, tls=True, user=user, password_file=f"{own}/redis.password",
        ca_file=f"{own}/ca.crt", cert_file=f"{own}/tls.pem", key_file=f"{own}/tls.pem",
    ))  # fmt: skip


def test_an_01_a_redis_that_proved_itself_serves_its_roles_and_takes_renewed_certificates(owner, redis, tmp_path):
    worker, client = link(owner, redis.port, "worker", "cs-worker"), link(owner, redis.port, "client", "cs-client")
    try:
        assert worker.exchange([("XGROUP", "CREATE", JOB.stream, "serving", "0-0", "MKSTREAM")])[0] == b"OK"
        assert client.exchange([("XADD", JOB.stream, "*", "uri", "u", "data", "d")])[0]
        assert "permission" in str(client.exchange([("CONFIG", "GET", "*")])[0])
        assert main(["keys", "generate", "--renew", "--out", str(owner.folder / "keys"), *owner.workspace]) == 0
        mount(owner, "redis", redis.place / "ssl-keys")
        redis.part.said("the keys of redis were renewed")
        redis.part.said("Redis took renewed certificates")
        assert client.exchange([("XLEN", JOB.stream)])[0] == 1  # the connection from before goes on
        again = link(owner, redis.port, "client", "cs-client")
        try:
            assert again.exchange([("XLEN", JOB.stream)])[0] == 1
        finally:
            again.close()
    finally:
        worker.close()
        client.close()
    assert redis.part.end() == 0


def test_dp_04_a_user_with_another_ones_password_is_refused(owner, redis):
    wrong = link(owner, redis.port, "client", "cs-worker")
    try:
        with pytest.raises(RedisRefused):
            wrong.exchange([("PING",)])
    finally:
        wrong.close()


def test_a_part_that_no_rule_names_gets_no_keys(owner, broker, measured_program, tmp_path):
    mount(owner, "worker", tmp_path / "ssl-keys")
    program = measured_program(tmp_path / "other.manifest", [
        "keys", "open", "--part=worker", f"--from={tmp_path}/ssl-keys", f"--to={tmp_path}/opened",
        f"--broker={broker}", f"--ca={owner.ca}",
    ])  # fmt: skip
    part = Part(owner, tmp_path, program)
    assert part.process.wait(LIMIT_S) == 3
    part.end()
    assert not (tmp_path / "opened").exists()


# Without any TEE


def test_clear_keys_are_taken_where_that_is_said_and_loudly(owner, tmp_path, capsys):
    words = [
        "keys",
        "open",
        "--part",
        "worker",
        "--from",
        str(owner.folder / "keys/worker"),
        "--to",
        str(tmp_path / "o"),
    ]
    assert main([*words, "--clear"]) == 0
    assert "WARNING" in capsys.readouterr().err
    opened = (tmp_path / "o/tls.pem").read_bytes()
    assert opened == (owner.folder / "keys/worker/tls.pem").read_bytes()
    assert (tmp_path / "o/tls.pem").stat().st_mode & 0o777 == 0o600
    assert main(words) == 1  # neither --broker nor --clear
    assert "SR-MISUSE" in capsys.readouterr().err
