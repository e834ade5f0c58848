"""The key before anything else: released, refused, unreachable; TLS sealed under it; the owner's key."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom import sealing
from strongroom.broker import gramine_client as broker
from strongroom.bundles import BadModelName, seal_ssl_config
from strongroom.errors import BadInput, StrongroomError
from strongroom.pki.signing import BadSigningKey
from strongroom.platforms import PlatformAbsent
from strongroom.ports import free_port
from strongroom.secret import Secret
from strongroom.serving.flags import options_of
from strongroom.serving.operations import identity
from strongroom.serving.operations.identity import (
    BrokerNotReached,
    KeyNotReleased,
    load_tls,
    obtain_key,
    platform_of,
    read_owner_key,
)
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BadOptions


class SomePlatform:
    name = "some"

    def quote(self, report_data):
        return b"quote" + report_data


@pytest.fixture
def options(tmp_path, tls_files):
    """Options of a sealed server whose broker's port nobody listens on."""
    return options_of({
        "model_name": "m", "model_base_path": str(tmp_path / "m"), "ssl_config_file": str(tmp_path / "ssl.cfg"),
        "broker": f"127.0.0.1:{free_port()}", "broker_ca": str(tls_files.ca), "owner_key": str(tmp_path / "owner.pem"),
        "broker_wait_seconds": 0.4,
    })  # fmt: skip


class Clocked(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    ahead_s = 0.0

    def time(self):
        return super().time() + self.ahead_s


def test_a_broker_that_is_not_there_is_not_waited_for_without_end(options):
    with pytest.raises(BrokerNotReached, match="connection refused") as caught:
        asyncio.run(obtain_key(options.broker, SomePlatform()))
    assert (caught.value.code, caught.value.exit_status) == ("SR-KEY-NO-BROKER", 4)


def test_a_broker_that_is_not_there_is_asked_again_until_the_deadline(options, caplog, monkeypatch):
    asked = []

    def provision(*address, **given):
        asked.append(address)
        if len(asked) == 3:
            runner.get_loop().ahead_s = 31.0
        raise broker.BrokerUnreachable("connection refused")

    monkeypatch.setattr(broker, "provision", provision)
    monkeypatch.setattr(identity, "FIRST_PAUSE_S", 0.01)
    waiting = replace(options.broker, wait_s=30)
    with asyncio.Runner(loop_factory=Clocked) as runner, pytest.raises(BrokerNotReached, match="no key after 30 s"):
        runner.run(obtain_key(waiting, SomePlatform()))
    assert len(asked) == 3
    assert caplog.text.count("waiting for key") == 2


def test_a_broker_that_comes_later_is_found(options, monkeypatch):
    answers = [broker.BrokerUnreachable("not yet"), Secret(b"0123456789abcdef")]

    def provision(host, port, **given):
        assert (host, given["platform"].name) == ("127.0.0.1", "some")
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(broker, "provision", provision)
    key = asyncio.run(obtain_key(replace(options.broker, wait_s=30), SomePlatform()))
    assert key == Secret(b"0123456789abcdef")


def test_a_refused_key_ends_it_at_once(options, monkeypatch):
    def provision(*address, **given):
        raise broker.BrokerRefused("closed")

    monkeypatch.setattr(broker, "provision", provision)
    with pytest.raises(KeyNotReleased) as caught:
        asyncio.run(obtain_key(options.broker, SomePlatform()))
    assert (caught.value.code, caught.value.exit_status) == ("SR-KEY-NOT-RELEASED", 3)
    assert "ledger show" in caught.value.fix


def test_sv_19_a_patient_replica_asks_again_after_a_refusal_and_says_why_it_waits(options, monkeypatch):
    refusals, reasons, readiness = 3, [], Readiness()

    def provision(*address, **given):
        reasons.append(readiness.reason)
        if len(reasons) <= refusals:
            raise broker.BrokerRefused("the broker closed the connection")
        return Secret(b"0123456789abcdef")

    class OutOfDate:
        def sentence(self):
            return "TCB OutOfDate (INTEL-SA-00615)"

    monkeypatch.setattr(broker, "provision", provision)
    monkeypatch.setattr(identity, "self_check", lambda platform, where, root: OutOfDate())
    monkeypatch.setattr(identity, "FIRST_PAUSE_S", 0.01)
    patient = replace(options.broker, patient=True, wait_s=0.001, self_check="somewhere")
    assert asyncio.run(obtain_key(patient, SomePlatform(), readiness=readiness)) == Secret(b"0123456789abcdef")
    assert reasons == [
        "waiting for key: the broker was not asked yet",
        *["waiting for key: TCB OutOfDate (INTEL-SA-00615); the broker closed the connection"] * refusals,
    ]
    assert readiness.ready


def test_several_processes_do_not_share_a_proof(options):
    several = replace(options, listening=replace(options.listening, processes=2))
    with pytest.raises(BadOptions, match="--processes is for plain models"):
        several.check()


def test_flags_about_a_key_need_a_broker():
    for flag in ({"wait_for_key": True}, {"key_lease_seconds": 60.0}, {"self_check": "x"}):
        with pytest.raises(BadOptions, match="no broker is named"):
            options_of({"model_base_path": "/m", "insecure": True, **flag})


@pytest.mark.parametrize("key", [bytes(16), bytes.fromhex("dda09c7c52359c9bc4e51982b97dd7fe"), b"short"])
def test_a_key_that_everybody_knows_is_refused(options, monkeypatch, key):
    monkeypatch.setattr(broker, "provision", lambda *address, **given: Secret(key))
    with pytest.raises(StrongroomError) as caught:
        asyncio.run(obtain_key(options.broker, SomePlatform()))
    assert isinstance(caught.value, sealing.WeakKey | sealing.WrapKeyLength)


def test_without_a_platform_there_is_no_key(options):
    with pytest.raises(PlatformAbsent):
        asyncio.run(obtain_key(options.broker, None))
    assert platform_of({}) is None


def test_a_ca_file_that_is_none_is_an_error_at_once(options, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(BadInput):
        asyncio.run(obtain_key(replace(options.broker, ca=junk), SomePlatform()))


def test_the_owners_key_is_an_ed25519_key(options, tmp_path):
    key = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "owner.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert read_owner_key(options.broker) == key
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for junk in (b"junk", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        (tmp_path / "owner.pem").write_bytes(junk)
        with pytest.raises(BadSigningKey) as caught:
            read_owner_key(options.broker)
        assert caught.value.code == "SR-SIGNING-KEY"


def seal(options, config, key, version=1, name="m"):
    path = Path(options.listening.ssl_config)
    path.unlink(missing_ok=True)
    seal_ssl_config(config, path, name=name, version=version, key=key, entropy=os.urandom)


def test_a_sealed_ssl_cfg_opens_for_a_version_that_is_here(options, tls_files):
    key = Secret(os.urandom(16))
    seal(options, tls_files.mutual, key, version=3)
    assert load_tls(options, key, [7, 3, 1]).mutual
    with pytest.raises(sealing.WrongPath):
        load_tls(options, key, [7, 1])
    with pytest.raises(BadModelName):
        load_tls(options, key, [])


def test_a_sealed_ssl_cfg_of_another_model_or_key_does_not_open(options, tls_files):
    key = Secret(os.urandom(16))
    seal(options, tls_files.mutual, key, name="other")
    with pytest.raises(sealing.WrongPath):
        load_tls(options, key, [1])
    seal(options, tls_files.mutual, Secret(os.urandom(16)))
    with pytest.raises(sealing.WrongKeyOrTampered):
        load_tls(options, key, [1])


def test_a_plain_ssl_cfg_from_the_operator_is_refused_where_a_sealed_one_is_wanted(options, tls_files):
    """Else the operator could choose which clients are believed, or give a key of their own."""
    options.listening.ssl_config.write_bytes((tls_files.folder / "mutual.cfg").read_bytes())
    with pytest.raises(sealing.NotASealedFile):
        load_tls(options, Secret(os.urandom(16)), [1])


def test_weaknesses_of_a_plain_ssl_cfg_are_told(options, tls_files, caplog):
    options.listening.ssl_config.write_bytes((tls_files.folder / "one_way.cfg").read_bytes())
    assert not load_tls(replace(options, broker=None), None, []).mutual
    assert "asks clients for no certificate" in caplog.text
    assert (
        load_tls(replace(options, broker=None, listening=replace(options.listening, ssl_config=None)), None, []) is None
    )
