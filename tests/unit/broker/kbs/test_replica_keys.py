"""A replica's keys over KBS: each version's own, patient or not, leased, renewed, forgotten."""

import asyncio
import threading
from dataclasses import replace

import pytest

from strongroom.broker.kbs_service import KbsNotReleased
from strongroom.broker.names import SecretName
from strongroom.cli import main
from strongroom.platforms import PlatformAbsent
from strongroom.secret import Secret
from strongroom.serving.flags import options_of
from strongroom.serving.operations.identity import BrokerNotReached, KeyNotReleased, obtain_version_key
from strongroom.serving.operations.keys import OneKey, VersionKeys
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.options import BadOptions

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
OTHER = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
MODEL = "efficientnet-lite0"
FIRST = SecretName.parse(f"model/{MODEL}/1")
SECOND = SecretName.parse(f"model/{MODEL}/2")


@pytest.fixture
def two_versions(kbs_with, policy_of):
    secrets = {f"model/{MODEL}/1": KEY, f"model/{MODEL}/2": OTHER}
    with kbs_with(policy_of(release=f"model/{MODEL}/1-", extra="lease_seconds = 10"), secrets=secrets) as running:
        yield running


@pytest.fixture
def options(tmp_path):
    """Return the broker's options of a server, as its flags say them."""

    def make(url, **flags):
        return options_of({
            "model_name": "m", "model_base_path": "/m", "ssl_config_file": "ssl.cfg", "broker": url,
            "broker_ca": str(tmp_path / "ca.pem"), "owner_key": "owner.pem", "broker_wait_seconds": 0.4, **flags,
        }).broker  # fmt: skip

    return make


@pytest.fixture
def keys_of(options, replica):
    def make(broker, **changes):
        return VersionKeys(replace(options(broker.url), **changes), replica, broker.ca_pem)

    return make


def test_kd_12_each_version_opens_with_its_own_key(two_versions, keys_of):
    keys = keys_of(two_versions)
    of = keys.of(MODEL)
    assert (of(1), of(2)) == (Secret(KEY), Secret(OTHER))
    assert of(1) is of(1)
    assert len(two_versions.decisions()) == 2
    first = of(1)
    keys.wipe()
    assert len(first) == 0


def test_a_refusal_is_an_end_and_for_who_waits_a_matter_of_the_moment(two_versions, keys_of, policy_of):
    two_versions.policy.write_text(policy_of(release=f"model/{MODEL}/1"))
    with pytest.raises(KeyNotReleased, match=r"request [0-9a-f]{16}"):
        keys_of(two_versions).key(SECOND)
    with pytest.raises(BrokerNotReached):
        keys_of(two_versions, patient=True).key(SECOND)
    assert KbsNotReleased.code == "SR-KBS-NOT-RELEASED"


def test_nothing_vouches_nothing_is_asked(options, kbs):
    with pytest.raises(PlatformAbsent):
        VersionKeys(options(kbs.url), None, kbs.ca_pem)


@pytest.fixture
def ca_file(two_versions, tmp_path):
    (tmp_path / "ca.pem").write_bytes(two_versions.ca_pem)


@pytest.mark.usefixtures("ca_file")
def test_a_first_key_is_waited_for_with_the_reason(two_versions, policy_of, options, replica):
    good = two_versions.policy.read_text()
    two_versions.policy.write_text(policy_of(release="secret/other"))
    reasons = []

    class Watched(Readiness):
        def wait(self, part, reason):
            reasons.append(reason)
            if "403" in reason:
                two_versions.policy.write_text(good)

    keys = VersionKeys(options(two_versions.url, wait_for_key=True), replica, two_versions.ca_pem)
    asyncio.run(keys.first(FIRST, Watched()))
    assert keys.key(FIRST) == Secret(KEY)
    assert any("waiting for key" in reason and "403" in reason for reason in reasons)
    impatient = options(two_versions.url)
    two_versions.policy.write_text(policy_of(release="secret/other"))
    with pytest.raises(KeyNotReleased, match="request"):
        asyncio.run(obtain_version_key(impatient, replica, FIRST))


def test_kd_13_leases_are_renewed_under_their_ids_and_a_refusal_suspends_until_a_renewal(
    two_versions, keys_of, policy_of
):
    keys = keys_of(two_versions, lease_s=0.3)
    keys.key(FIRST)
    good, told = two_versions.policy.read_text(), []
    moved = asyncio.Event

    async def story():
        changed = moved()

        def suspend(why):
            told.append(why and why.sentence)
            changed.set()

        async def until(condition):
            while not condition():
                changed.clear()
                await asyncio.wait_for(changed.wait(), 60)

        async with keys.renewed(suspend, lambda model, version: False):
            await until(lambda: None in told)
            await asyncio.to_thread(keys.key, SECOND)  # one that comes later is renewed too
            two_versions.policy.write_text(policy_of(release="secret/other"))
            await until(lambda: told[-1] is not None)
            two_versions.policy.write_text(good)
            count = len(told)
            await until(lambda: None in told[count:] and told[-1] is None)

    asyncio.run(story())
    lost = [text for text in told if text]
    assert lost[0].startswith(f"key lease of model/{MODEL}/")
    assert lost[0].endswith("lost: the broker refused to renew it")
    leases = {entry["lease"]["id"]: entry["lease"]["renewals"] for entry in two_versions.decisions() if entry["lease"]}
    assert len(leases) == 2
    assert max(leases.values()) >= 2


def test_a_version_that_is_served_no_more_is_forgotten(two_versions, keys_of):
    keys = keys_of(two_versions, lease_s=0.3)
    first = keys.key(FIRST)
    over, told = threading.Event(), []

    async def story():
        done = asyncio.Event()

        def suspend(why):
            told.append(why)
            done.set()

        over.set()
        async with keys.renewed(suspend, lambda model, version: over.is_set()):
            await asyncio.wait_for(done.wait(), 60)

    asyncio.run(story())
    assert told == [None]
    assert len(first) == 0
    assert len(two_versions.decisions()) == 1


def test_one_key_is_the_same_whatever_it_opens():
    keys = OneKey(Secret(KEY))
    assert keys.of("a") is keys.of("b")
    keys.wipe()
    assert len(keys.key) == 0


def test_flags_say_which_protocol(options):
    assert (options("https://broker:8080/x").url, options("https://broker:8080").address.port) == (
        "https://broker:8080/x", 8080
    )  # fmt: skip
    assert options("broker:4433").url == ""
    assert options("https://broker", tenant="acme", deployment="d").tenant == "acme"
    for url, flags in (
        ("http://broker:1", {}), ("https://", {}), ("https://b", {"tenant": "No"}), ("broker:1", {"tenant": "acme"}),
        ("broker:1", {"deployment": "d"}),
    ):  # fmt: skip
        with pytest.raises(BadOptions):
            options(url, **flags)


def test_kbs_get_by_hand_has_nothing_that_vouches_for_it(kbs, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("STRONGROOM_QUOTE_FD", raising=False)
    (tmp_path / "ca.pem").write_bytes(kbs.ca_pem)
    words = ["--broker", kbs.url, "--ca", str(tmp_path / "ca.pem"), "--out", str(tmp_path / "key")]
    assert main(["kbs", "get", f"kbs:///default/model/{MODEL}.1", *words]) == 4
    assert "SR-PLATFORM-ABSENT" in capsys.readouterr().err
    assert main(["kbs", "get", "kbs:///default/../x", *words]) == 2
    assert not (tmp_path / "key").exists()
