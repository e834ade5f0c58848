"""Records and time: no release without its durable line (SA-11), no wrong clock (SA-15), no way back (KD-09, SA-17)."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.attestation import claims_of
from strongroom.broker import floors, leases
from strongroom.broker.keyring.keyring import Keyring
from strongroom.broker.keyring.root_key import LocalRoot, RootMissing, new_root_key
from strongroom.broker.ledger.faults import LedgerRolledBack
from strongroom.broker.names import SecretName
from strongroom.broker.opening import opened
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.watched import WatchedPolicy
from strongroom.broker.release import Denial, decide
from strongroom.broker.store.errors import StoreUnavailable
from strongroom.broker.store.opening import open_store
from strongroom.cli.explain import explained
from strongroom.platforms.simulated import EnclaveIdentity
from strongroom.workspace.settings import BrokerSettings

MODEL = SecretName.parse("model/m/1")
KEY = bytes.fromhex("5ec7e7a1b2c3d4e5f60718293a4b5c6d")
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
KILLED = Path(__file__).with_name("killed.py")
MANY = 2000
ONE_STORE = pytest.mark.parametrize("location", ["sqlite"], indirect=True)


def granted(site):
    return [entry for entry in site.decisions() if entry["decision"] == "granted"]


# SA-11


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte; only root can make one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root, where the kernel lets it, can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    """Leave not one free byte; return the file that took them."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler


@ONE_STORE
def test_sa_11_a_full_disk_releases_nothing_that_is_not_written_down(small_disk, site_with, rule, policy, caplog):
    site = site_with(policy(rule()), store=open_store(small_disk / "broker.db"))
    case = site.service.decide(site.judged(ENCLAVE), MODEL)  # evidence that was found good while there was room
    filler, released = fill(small_disk), []
    with pytest.raises(StoreUnavailable) as refused:  # what the store had room for already may still be written
        released.extend(site.service.release(case) for _ in range(MANY))
    assert refused.value.code == "SR-STORE-UNAVAILABLE"
    assert None not in released
    with pytest.raises(StoreUnavailable):
        site.ask(ENCLAVE, MODEL)
    assert len(granted(site)) == len(released) == len(site.store.read(leases.live))
    filler.unlink()
    assert site.ask(ENCLAVE, MODEL) is not None
    assert len(granted(site)) == len(released) + 1
    assert KEY.hex() not in caplog.text
    site.ledger.verify()


@ONE_STORE
def test_sa_11_a_disk_that_is_read_only_releases_nothing(small_disk, site_with, rule, policy):
    path = small_disk / "broker.db"
    site_with(policy(rule()), store=open_store(path)).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreUnavailable):
        open_store(path)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    site = site_with(policy(rule()), store=open_store(path))
    assert (len(granted(site)), site.store.read(leases.live)) == (0, ())


@ONE_STORE
@pytest.mark.parametrize(("when", "lines"), [("before", 0), ("after", 1), ("never", 1)])
def test_sa_11_a_broker_that_is_killed_between_record_and_release_has_the_record_first(
    *, site_with, rule, policy, tmp_path, when, lines
):
    (tmp_path / "policy.toml").write_text(policy(rule()))
    site_with(policy(rule())).close()
    done = subprocess.run(
        [sys.executable, str(KILLED), str(tmp_path), when], capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if when == "never" else -signal.SIGKILL), done.stderr
    assert done.stdout.strip() == (KEY.hex() if when == "never" else "")
    site = site_with(policy(rule()), store=open_store(tmp_path / "broker.db"))
    assert len(granted(site)) == len(site.store.read(leases.live)) == lines
    site.ledger.verify()


# SA-15


class Wall:
    """A clock that the host of the broker sets as it likes; `monotonic` passes as it does."""

    def __init__(self):
        self.offset = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.offset


HOUR, YEAR = timedelta(hours=1), timedelta(days=365)


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR], ids=["+1h", "-1h", "+1y", "-1y"])
def test_sa_15_while_the_clock_has_jumped_nothing_is_released_and_the_ledger_says_so_once(
    *, site_with, rule, policy, caplog, step
):
    wall = Wall()
    site = site_with(
        policy(rule()), clock=wall, guard=lambda ledger: ledger.clock_guard(wall, time.monotonic)
    )  # fmt: skip
    assert site.ask(ENCLAVE, MODEL) is not None
    site.ledger.maintain()
    wall.offset = step
    site.ledger.maintain()
    for _ in range(2):
        with site.refusing(caplog, "SR-CLOCK-UNTRUSTED"):
            assert site.ask(ENCLAVE, MODEL) is None
    [alarm] = [entry for entry in site.ledger.entries() if entry["kind"] == "clock"]
    assert alarm["state"] == "untrusted"
    times = [datetime.fromisoformat(entry["time"]) for entry in site.ledger.entries()]
    assert times == sorted(times)
    assert times[-1] - times[0] < timedelta(minutes=30)  # no line took the host's word for the time


# KD-09 and SA-17


def test_kd_09_yesterdays_store_does_not_bring_yesterdays_model_back(tmp_path, rule, policy):
    """The floor is in the store: whoever puts an older store back to lower it is noticed at the start."""
    (tmp_path / "policy.toml").write_text(policy(rule()))
    path = tmp_path / "state" / "broker.db"
    path.parent.mkdir(mode=0o700)

    def begun():
        return opened(
            folder=path.parent, store=path, settings=BrokerSettings(), policy=WatchedPolicy(tmp_path / "policy.toml"),
            owner=None,
        )  # fmt: skip

    with begun() as found:
        found.ledger.sign_root()
    shutil.copy(path, tmp_path / "yesterday.db")
    with begun() as found:
        found.store.write(lambda tx: floors.raise_floor(tx, "default", "m", 2, "alice"))
        found.store.write(lambda tx: found.ledger.append(tx, {"kind": "admin", "action": "raise floor"}))
        found.ledger.sign_root()
        assert found.store.read(lambda tx: floors.floor(tx, "default", "m")) == 2
    for beside in path.parent.glob("broker.db-*"):
        beside.unlink()
    shutil.copy(tmp_path / "yesterday.db", path)
    with pytest.raises(LedgerRolledBack) as refused, begun():
        pass
    assert refused.value.code == "SR-LEDGER-ROLLED-BACK"


def test_sa_17_a_broker_without_the_root_key_joins_nothing_and_opens_nothing(site_with, rule, policy, location):
    """What stands for attestation between brokers here: the root key that the owner put on each of them."""
    site = site_with(policy(rule()))
    before = site.ledger.head()
    store = open_store(location)
    joiner = Keyring(store, LocalRoot(new_root_key(), "of somebody else"))
    for attempt in (
        joiner.begin, joiner.signing_key, joiner.token_key, lambda: joiner.get("default", str(MODEL)),
        lambda: joiner.rotate_tenant("default"), lambda: joiner.put("default", "secret/x", site.keyring.root.key, "me"),
    ):  # fmt: skip
        with pytest.raises(RootMissing) as refused:
            attempt()
        assert refused.value.code == "SR-ROOT-MISSING"
    store.close()
    assert site.ledger.head() == before
    assert site.ask(ENCLAVE, MODEL) is not None


# SA-13 and SV-10


STRICT = """
accepted_tcb_status = ["UpToDate"]
denied_fmspc = ["00906ED50000"]
denied_pck_serials = ["01"]
"""
DECIDING = ["tcb_status", "fmspc", "pck_serial", "debug", "mr_enclave", "collateral_issued"]


@ONE_STORE
@pytest.mark.parametrize("unknown", DECIDING)
def test_sa_13_what_nobody_said_of_evidence_never_counts_as_said(site_with, rule, policy, unknown):
    site = site_with(policy(rule(extra=STRICT)))
    rules = policy_file.parse(policy(rule(extra=STRICT))).rules
    claims = claims_of(site.judged(ENCLAVE).verdict)
    at = claims.judged_at
    assert not isinstance(decide(claims, rules, fresh=True, at=at, wanted=MODEL), Denial)
    outcome = decide(replace(claims, **{unknown: None}), rules, fresh=True, at=at, wanted=MODEL)
    assert isinstance(outcome, Denial)
    assert "unknown" in outcome.reasons[0].observed


def no_evidence(client, site):
    return client.attest(client.attestation(client.nonce(), {"quote": "AAAA"}))


def other_hash(client, site):
    nonce = client.nonce()
    return client.attest(client.attestation(nonce, client.evidence(nonce, hashed={"nonce": nonce})))


def used_nonce(client, site):
    body = client.attestation(client.nonce())
    client.attest(body)
    return client.attest(body)


def weak_key(client, site):
    body = client.attestation(client.nonce())
    body["runtime-data"]["tee-pubkey"] = client.jwk | {"d": client.jwk["x"]}
    return client.attest(body)


def expired_collateral(client, site):
    site.source.collateral = site.world.collateral(datetime.now(UTC) - timedelta(days=99))
    return client.handshake()


def old_model(client, site):
    site.store.write(lambda tx: floors.raise_floor(tx, "default", "m", 2, "alice"))
    return proven(client, "default/model/m.1")


def limit(client, site):
    site.ask(ENCLAVE, MODEL)
    return proven(client, "default/model/m.1")


def unknown_name(client, site):
    return proven(client, "default/model/n.1")


def unknown_tenant(client, site):
    return proven(client, "nobody/model/m.1")


def proven(client, path):
    assert client.handshake()[0] == 200
    return client.get(path)


CLASSES = {
    "not proven": [no_evidence, other_hash, used_nonce, weak_key, expired_collateral],
    "not released": [old_model, limit, unknown_name, unknown_tenant],
}


@ONE_STORE
@pytest.mark.parametrize("kind", CLASSES)
def test_sv_10_refusals_of_one_class_are_one_answer_and_each_has_its_documented_code(
    *, site_with, rule, policy, listening, stock, kind, tmp_path
):
    told, codes = set(), set()
    known = {entry.code for entry in explained()}  # what strongroom explain and docs/errors.md are made from
    for number, refuse in enumerate(CLASSES[kind]):
        store = open_store(tmp_path / f"{number}.db")
        site = listening(site_with(policy(rule(extra="max_leases = 1")), store=store))
        status, headers, body = refuse(stock(site, ENCLAVE), site)
        lines = sorted((name.lower(), value) for name, value in headers.items() if name.lower() != "x-request-id")
        told.add((status, body, json.dumps(lines)))
        [reason] = site.decisions()[-1]["reasons"]
        codes.add(reason["code"])
        assert reason["fix"]
        assert reason["code"] in known
    assert len(told) == 1
    assert len(codes) == len(CLASSES[kind])
