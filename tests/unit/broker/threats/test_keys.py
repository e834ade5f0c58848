"""Who gets which key, through a whole broker on either store: every term, version and tenant (KD-11 to KD-17)."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker import leases, revocations
from strongroom.broker.names import SecretName
from strongroom.broker.policy import history
from strongroom.broker.policy.approvals import Approvals, approve, ballot_of, submit
from strongroom.broker.policy.votes import key_id, sign
from strongroom.platforms.simulated import EnclaveIdentity
from strongroom.secret import Secret

MODEL = SecretName.parse("model/m/1")
SECOND = SecretName.parse("model/m/2")
SHARED = SecretName.parse("secret/db")
KEY = bytes.fromhex("5ec7e7a1b2c3d4e5f60718293a4b5c6d")
OTHER = bytes.fromhex("0d1c2b3a495867768594a3b2c1d0efee")
THEIRS = bytes.fromhex("7e57ab1e0ddba11c0ffee5add1e5ca1e")
ENCLAVE = EnclaveIdentity(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=7, isv_svn=3)
STRANGER = replace(ENCLAVE, mr_enclave=b"\x0f" * 32)
UPGRADE = replace(ENCLAVE, mr_enclave=b"\xe2" * 32)
NOBODY = b"\xdd" * 32


def bytes_of(released):
    """Return a released secret's bytes, and let go of it."""
    if released is None:
        return None
    with released.secret.reveal() as raw:
        return bytes(raw)


# KD-11: authorised and evidence and policy and quorum and not revoked and within limits


@pytest.fixture(scope="module")
def owners():
    return [Ed25519PrivateKey.generate() for _ in range(2)]


@pytest.fixture
def two_owners(owners):
    return Approvals({key_id(each.public_key()): each.public_key() for each in owners}, 2)


def agree(site, number, owner, approvals):
    """Let an owner sign a proposed version of the policy."""

    def vote(tx):
        ballot = ballot_of(history.version(tx, "default", number), history.in_force(tx, "default"))
        return approve(tx, "default", number, sign(ballot, owner, at=history.time_of(tx)), approvals)

    site.store.write(vote)
    site.policies.look_again()


@pytest.mark.parametrize(
    ("location", "votes"), [("sqlite", 0), ("sqlite", 1), ("sqlite", 2), ("postgresql", 2)], indirect=["location"]
)
def test_kd_11_a_key_is_released_where_all_six_terms_hold_and_nowhere_else(  # noqa: PLR0917  # fixtures
    votes, site_with, rule, policy, owners, two_owners, caplog
):
    """The whole table; what a build may have that two owners have to agree to is not released by one."""
    site = site_with(policy(rule(enclave=NOBODY)), approvals=two_owners)
    wider = policy(rule(extra="max_leases = 1")).encode()  # admits more, so it waits for two owners
    number = site.store.write(lambda tx: submit(tx, "default", wider, "test", two_owners)).proposed
    for owner in owners[:votes]:
        agree(site, number, owner, two_owners)
    good, bad = site.source.collateral, site.world.collateral(datetime.now(UTC) - timedelta(days=99))
    for authorised, evidence, fits, not_revoked, within in itertools.product([True, False], repeat=5):
        site.source.collateral = good if evidence else bad
        held = None if within else site.store.write(lambda tx: leases.grant(tx, asked(), seconds=600))
        revoked = None if not_revoked else site.store.write(revoke_signer).revocation
        wanted = MODEL if authorised else SHARED
        before = len(site.decisions())
        released = site.ask(ENCLAVE if fits else STRANGER, wanted)
        terms = (authorised, evidence, fits, votes == 2, not_revoked, within)
        assert (released is not None) == all(terms), terms
        [line] = site.decisions()[before:]
        assert line["decision"] == ("granted" if all(terms) else "denied")
        assert all(terms) or (line["reasons"] and line["secret"] is None)
        for lease_id in [each.id for each in (released and released.lease, held) if each]:
            site.store.write(lambda tx, lease_id=lease_id: leases.end(tx, lease_id))
        if revoked:
            site.store.write(lambda tx, revoked=revoked: revocations.lift(tx, revoked.id))
    assert KEY.hex() not in caplog.text


def revoke_signer(tx):
    return revocations.revoke(tx, kind="signer", value="51" * 32, author="alice")


def asked():
    return leases.LeaseRequest(
        tenant="default", secret=str(MODEL), rule="one", holder="", protocol="", peer="", measurement="", platform="",
        tcb_status="",
    )  # fmt: skip


# KD-12 and KD-17: other versions, other models, other tenants


@pytest.fixture
def two_tenants(site_with, rule, policy):
    """The default tenant, and acme, which has models of the same names and rules for another build."""
    site = site_with(policy(rule(), rule("model/m/2", name="two", enclave=UPGRADE.mr_enclave)))
    site.put("default", str(SECOND), OTHER)
    site.tenant("acme", policy(rule(enclave=UPGRADE.mr_enclave)))
    site.put("acme", str(MODEL), THEIRS)
    return site


NOT_FOR_IT = [
    ("another version", "default/model/m.2"),
    ("a version that is not there", "default/model/m.9"),
    ("another model", "default/model/other.1"),
    ("another kind of the same name", "default/secret/m"),
    ("the same name of another tenant", "acme/model/m.1"),
    ("a name that another tenant does not have", "acme/model/other.1"),
    ("a tenant that is not there", "nobody/model/m.1"),
    ("the broker's own keys", "default/secret/ledger-signing-key"),
]


def test_kd_12_and_kd_17_what_a_build_was_not_granted_looks_like_what_is_not_there(
    two_tenants, listening, stock, caplog
):
    site = listening(two_tenants)
    client = stock(site, ENCLAVE)
    assert client.get_resource("default/model/m.1") == KEY
    seen = set()
    for _, path in NOT_FOR_IT:
        before = len(site.decisions())
        status, headers, body = client.get(path)
        [line] = site.decisions()[before:]
        assert (line["decision"], line["tenant"]) == ("denied", path.partition("/")[0])
        told = {name: value for name, value in headers.items() if name.lower() != "x-request-id"}
        seen.add((status, body, json.dumps(told, sort_keys=True)))
    assert len(seen) == 1  # to the byte, whatever the reason
    assert {status for status, *_ in seen} == {403}
    assert stock(site, UPGRADE).get_resource("acme/model/m.1") == THEIRS
    assert not any(each.hex() in caplog.text for each in (KEY, OTHER, THEIRS))


@pytest.mark.parametrize(
    ("tenant", "code"), [("default", "SECRET_NOT_NAMED"), ("acme", "POLICY_MRENCLAVE"), ("nobody", "NO_RULES")]
)
def test_kd_17_the_owner_is_told_which_it_was(two_tenants, caplog, tenant, code):
    with two_tenants.refusing(caplog, code):
        wanted = MODEL if tenant != "default" else SHARED
        assert two_tenants.ask(ENCLAVE, wanted, tenant=tenant) is None


def test_kd_17_a_tenants_edit_touches_no_other_tenants_rules_keys_or_leases(two_tenants, rule, policy):
    site = two_tenants
    lease = site.ask(ENCLAVE, MODEL).lease
    everything = site.policies.current("default")[0], site.keyring.infos("default"), site.store.read(leases.live)
    site.keyring.rotate_tenant("acme")
    site.put("acme", "secret/more", OTHER)
    site.store.write(lambda tx: revocations.revoke(tx, kind="model", value="m", author="bob", tenant="acme"))
    site.store.write(lambda tx: leases.end(tx, lease.id, tenant="acme"))
    now = site.policies.current("default")[0], site.keyring.infos("default"), site.store.read(leases.live)
    assert now == everything
    assert bytes_of(site.ask(ENCLAVE, MODEL)) == KEY
    assert site.ask(UPGRADE, MODEL, tenant="acme") is None  # what was revoked is revoked where it was


# KD-15: a new build of a workload


def test_kd_15_a_new_build_carries_its_secrets_on_and_the_old_one_ends(site_with, rule, policy, caplog):
    """v1 to v2: a rule for the new build, both served, the secret rotated with a carry, v1 revoked, v2 untouched."""
    names = f"{MODEL}", f"{SHARED}"
    v1, v2 = rule(*names, name="v1"), rule(*names, name="v2", enclave=UPGRADE.mr_enclave)
    site = site_with(policy(v1))
    site.put("default", str(SHARED), OTHER)
    old = site.ask(ENCLAVE, SHARED)
    assert bytes_of(old) == OTHER
    with site.refusing(caplog, "POLICY_MRENCLAVE"):
        assert site.ask(UPGRADE, SHARED) is None  # nothing goes over by itself
    site.rules(policy(v1, v2))
    assert [bytes_of(site.ask(each, SHARED)) for each in (ENCLAVE, UPGRADE)] == [OTHER, OTHER]
    assert [bytes_of(site.ask(each, MODEL)) for each in (ENCLAVE, UPGRADE)] == [KEY, KEY]
    renewed = site.ask(UPGRADE, SHARED).lease

    site.keyring.rotate("default", str(SHARED), "owner", carry_s=3600)
    fresh = bytes_of(site.ask(UPGRADE, SHARED))
    site.secrets.append(fresh)
    assert fresh != OTHER
    assert site.keyring.get("default", str(SHARED), 1) == Secret(OTHER)  # what is sealed under it can still be opened

    done = site.store.write(
        lambda tx: revocations.revoke(tx, kind="measurement", value="e1" * 32, author="alice", reason="v1 is over")
    )
    assert {each.measurement for each in done.ended} == {"e1" * 32}
    for wanted in (MODEL, SHARED):
        with site.refusing(caplog, "REVOKED"):
            assert site.ask(ENCLAVE, wanted, lease_id=old.lease.id) is None
    again = site.ask(UPGRADE, SHARED, lease_id=renewed.id)
    assert (again.lease.id, again.lease.renewals) == (renewed.id, 1)
    assert bytes_of(site.ask(UPGRADE, MODEL)) == KEY
