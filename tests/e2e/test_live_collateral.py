"""Whole processes: a broker fetches collateral from a PCCS, goes on while it is away, and refuses stale data."""

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.broker.gramine_client import BrokerRefused, provision
from strongroom.broker.ledger.reading import entries_in
from strongroom.platforms.simulated import EnclaveIdentity, Rehearsal, World
from strongroom.secret import Secret
from strongroom.workspace import Workspace

STRONGROOM = Path(sys.executable).with_name("strongroom")
DEADLINE_S = 60
IDENTITY = EnclaveIdentity(mr_enclave=bytes([7]) * 32, mr_signer=bytes([8]) * 32, isv_prod_id=0, isv_svn=0)
POLICY = f"""version = 1
[[rule]]
name = "replica"
mrenclave = "{IDENTITY.mr_enclave.hex()}"
trust_domains = ["simulated"]
release = "model/m/1"
max_collateral_age_days = 30
"""


class Process:
    """An installed command that listens and says where on its first line."""

    def __init__(self, folder: Path, name: str, *words: str) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [STRONGROOM, *words, "--port", "0"], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
            )
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.port = int(line.rpartition(":")[2].strip("/ \n"))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode


class Replica:
    """A platform in the test process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def quote(self, report_data: bytes) -> bytes:
        return self._world.quote(IDENTITY, report_data)


@pytest.fixture
def world(tmp_path) -> World:
    return World.create(tmp_path / "world", now=datetime.now(UTC) - timedelta(days=90))


@pytest.fixture
def owner(tmp_path, world) -> Workspace:
    owner = Workspace.create(tmp_path / "ws", now=datetime.now(UTC))
    owner.secrets.put("model/m/1", Secret(bytes(range(16))))
    owner.policy_path.write_text(POLICY)
    (owner.anchors_folder / "simulated.der").write_bytes(world.root_der)
    return owner


@pytest.fixture
def start(tmp_path):
    started: list[Process] = []

    def run(name: str, *words: str) -> Process:
        started.append(Process(tmp_path, name, *words))
        return started[-1]

    yield run
    for each in started:
        if each.process.poll() is None:
            each.stop()


def settings(owner: Workspace, *lines: str) -> None:
    path = owner.folder / "strongroom.toml"
    path.write_text("\n".join((path.read_text().partition("[collateral]\n")[0], "[collateral]", *lines, "")))


def ask(broker: Process, owner: Workspace, world: World) -> bytes:
    secret = provision("localhost", broker.port, ca_pem=owner.ca_certificate_pem, platform=Replica(world))
    with secret.reveal() as raw:
        return bytes(raw)


def last_reasons(owner: Workspace) -> str:
    return json.dumps([entry for entry in entries_in(owner.folder / "broker.db") if entry["kind"] == "decision"][-1])


def test_a_broker_fetches_from_a_pccs_and_goes_on_without_it(start, owner, world):
    pccs = start("pccs", "pccs", "serve", "--world", "world")
    settings(owner, f'sources = ["http://127.0.0.1:{pccs.port}"]')
    broker = start("broker", "broker", "serve", "--workspace", "ws")
    assert ask(broker, owner, world) == bytes(range(16))
    assert pccs.stop() == 0
    assert ask(broker, owner, world) == bytes(range(16)), "from memory"
    assert broker.stop() == 0
    again = start("broker", "broker", "serve", "--workspace", "ws")
    assert ask(again, owner, world) == bytes(range(16)), "from the cache that the first one left"
    assert again.stop() == 0


def test_tcb_08_a_broker_remembers_the_highest_number_over_a_restart(start, owner, world, tmp_path):
    def mirror(number: int, issued: datetime) -> None:
        folder = tmp_path / "mirror"
        folder.mkdir(exist_ok=True)
        rehearsal = Rehearsal(evaluation_number=number, qe_evaluation_number=number, age=timedelta(0))
        (folder / "one.json").write_text(world.collateral(issued, rehearsal).to_json())

    settings(owner, 'sources = ["../mirror"]', 'max_age = "30d"')
    mirror(19, datetime.now(UTC) - timedelta(days=20))
    broker = start("broker", "broker", "serve", "--workspace", "ws")
    assert ask(broker, owner, world) == bytes(range(16))
    assert broker.stop() == 0
    for path in (owner.folder / "collateral-cache" / "entries").iterdir():
        path.unlink()
    mirror(17, datetime.now(UTC) - timedelta(days=1))
    again = start("broker", "broker", "serve", "--workspace", "ws")
    with pytest.raises(BrokerRefused):
        ask(again, owner, world)
    assert "SR-COLLATERAL-ROLLBACK" in last_reasons(owner)
    assert again.stop() == 0


def test_tcb_10_expired_collateral_is_refused_and_each_use_of_a_grace_is_recorded(start, owner, world, tmp_path):
    (tmp_path / "mirror").mkdir()
    old = world.collateral(datetime.now(UTC) - timedelta(days=30, hours=2), Rehearsal(age=timedelta(0)))
    (tmp_path / "mirror" / "one.json").write_text(old.to_json())
    settings(owner, 'sources = ["../mirror"]', 'max_age = "40d"')
    strict = start("broker", "broker", "serve", "--workspace", "ws")
    with pytest.raises(BrokerRefused):
        ask(strict, owner, world)
    assert "SR-COLLATERAL-TOO-OLD" in last_reasons(owner)
    assert strict.stop() == 0
    settings(owner, 'sources = ["../mirror"]', 'max_age = "40d"', 'grace = "1d"')
    owner.policy_path.write_text(
        POLICY.replace("max_collateral_age_days = 30", "max_collateral_age_days = 40")
        + "collateral_grace_period_seconds = 86400\n"
    )
    lenient = start("broker", "broker", "serve", "--workspace", "ws")
    for _ in range(2):
        assert ask(lenient, owner, world) == bytes(range(16))
    audit = (owner.folder / "collateral-cache" / "audit.jsonl").read_text().splitlines()
    assert len(audit) == 2
    assert "in_grace" in json.dumps(entries_in(owner.folder / "broker.db"))
    assert lenient.stop() == 0
