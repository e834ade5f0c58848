"""The seeds' `-b` option, whole: a broker that lets an attestation service check its peers' quotes."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3

from strongroom.broker.gramine_client import BrokerRefused, provision
from strongroom.broker.ledger.reading import entries_in
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
OTHER = EnclaveIdentity(mr_enclave=b"\xe2" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
UNSAID = ["attributes", "allow_provision_key", "allow_einittoken_key", "reserved", "config_id", "config_svn",
          "isv_ext_prod_id", "isv_family_id", "accepted_tcb_status", "accepted_advisory_ids",
          "max_collateral_age_days"]  # fmt: skip


@dataclass
class Platform:
    world: World
    identity: EnclaveIdentity

    def quote(self, report_data):
        return self.world.quote(self.identity, report_data)


@dataclass
class Story:
    folder: Path
    port: int
    ca_pem: bytes
    world: World

    def ask(self, identity):
        platform = Platform(self.world, identity)
        return provision("localhost", self.port, ca_pem=self.ca_pem, platform=platform, timeout_s=30)

    def decisions(self):
        return [entry for entry in entries_in(self.folder / "broker.db") if entry["kind"] == "decision"]


@pytest.fixture
def started():
    """Start a verb; give its first line. Everything is gone afterwards."""
    running = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom", *map(str, words)], stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        running.append(process)
        return process, process.stdout.readline()

    yield start
    for process in running:
        process.terminate()
        process.communicate()


@pytest.fixture(params=["maa", "ita"])
def story(request, started, tmp_path):
    _, line = started("sim", "attestation-service", "--beside-real-tee", "--world", tmp_path / "world")
    url = line.split()[4].rstrip(",")
    (tmp_path / "keys.json").write_bytes(urllib3.PoolManager().request("GET", f"{url}/certs").data)
    authority = Authority.create("test owner", now=datetime.now(UTC))
    leaf = authority.issue_server(["localhost"], now=datetime.now(UTC))
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    with leaf.key_pem.reveal() as raw:
        (tmp_path / "leaf_key.pem").write_bytes(bytes(raw))
    (tmp_path / "wrap_key").write_bytes(KEY)
    (tmp_path / "policy.toml").write_text(
        'version = 1\n[[rule]]\nname = "by token"\n'
        f'mrenclave = "{ENCLAVE.mr_enclave.hex()}"\nrelease = "model/m/1"\ntrust_domains = ["simulated"]\n'
        f"accept_unknown = {json.dumps(UNSAID)}\n",
        encoding="utf-8",
    )
    issuer = ["--attestation-issuer", "Simulated Trust Authority"] if request.param == "ita" else []
    _, line = started(
        "broker", "serve", "--port", 0, "--policy", tmp_path / "policy.toml", "--key-file", tmp_path / "wrap_key",
        "--cert", tmp_path / "leaf.pem", "--key", tmp_path / "leaf_key.pem", "--attestation-service", url,
        "--attestation-keys", tmp_path / "keys.json", "--attestation-profile", request.param, *issuer,
    )  # fmt: skip
    port = int(line.rsplit(":", 1)[1])
    return Story(tmp_path, port, authority.certificate_pem, World.open(tmp_path / "world"))


def test_a_key_is_released_on_a_services_word(story):
    with story.ask(ENCLAVE).reveal() as raw:
        assert bytes(raw) == KEY
    (decision,) = story.decisions()
    assert decision["decision"] == "granted"
    assert decision["evidence"]["source"] in {"maa", "ita"}
    assert decision["evidence"]["trust_domain"] == "simulated"
    assert decision["evidence"]["platform"] is None


def test_another_program_gets_nothing_and_the_ledger_says_why(story):
    with pytest.raises(BrokerRefused):
        story.ask(OTHER)
    (decision,) = story.decisions()
    assert decision["decision"] == "denied"
    assert {reason["code"] for reason in decision["reasons"]} == {"POLICY_MRENCLAVE"}


def test_a_quote_of_another_world_is_refused_by_the_service(story, tmp_path):
    story.world = World.create(tmp_path / "other-world", now=datetime.now(UTC))
    with pytest.raises(BrokerRefused):
        story.ask(ENCLAVE)
    (decision,) = story.decisions()
    assert {reason["code"] for reason in decision["reasons"]} == {"SR-ATTESTATION-SERVICE-REFUSED"}


@pytest.mark.parametrize(
    "words", [["--attestation-service", "http://127.0.0.1:1"], ["--attestation-keys", "keys.json"]]
)
def test_a_service_without_keys_is_a_misuse(words, started, tmp_path):
    for name in ("policy.toml", "wrap_key", "leaf.pem", "leaf_key.pem"):
        (tmp_path / name).write_bytes(b"version = 1\n" if name == "policy.toml" else KEY)
    process, line = started(
        "broker", "serve", "--port", 0, "--policy", tmp_path / "policy.toml", "--key-file", tmp_path / "wrap_key",
        "--cert", tmp_path / "leaf.pem", "--key", tmp_path / "leaf_key.pem", *words,
    )  # fmt: skip
    assert line == ""
    assert process.wait() == 1
