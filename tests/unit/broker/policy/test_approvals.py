"""A policy that admits more waits for owners; versions, votes and tenants as the store keeps them."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker import tenants
from strongroom.broker.policy import history
from strongroom.broker.policy.approvals import (
    NO_APPROVALS,
    Approvals,
    OwnersUnusable,
    approve,
    ballot_of,
    submit,
    voters,
    withdraw,
)
from strongroom.broker.policy.file import PolicyFileMalformed
from strongroom.broker.policy.history import State, UnknownPolicyVersion
from strongroom.broker.policy.votes import NOTHING, VoteRefused, key_id, sign
from strongroom.pki.signing import BadSigningKey, public_pem, signer_pem

DEBUG = "allow_debug = true"


@pytest.fixture
def first(store, write):
    """The policy in force to begin with: one rule."""
    rule, policy = write
    return store.write(lambda tx: submit(tx, "default", policy(rule()), "ann"))


@pytest.fixture
def submitted(store, write, two_of_two):
    """Submit a policy of one rule with the words given; two owners have to agree to what admits more."""
    rule, policy = write

    def run(extra="", *, tenant="default", author="ann", approvals=two_of_two):
        return store.write(lambda tx: submit(tx, tenant, policy(rule(extra)), author, approvals))

    return run


def states(store, tenant="default"):
    return [each.state.value for each in store.read(lambda tx: history.versions(tx, tenant))]


def vote_for(store, number, key, *, tenant="default", days=7, early_s=0):
    def made(tx):
        ballot = ballot_of(history.version(tx, tenant, number), history.in_force(tx, tenant))
        return sign(ballot, key, at=history.time_of(tx), days=days)

    return store.read(made)


def test_sa_08_two_owners_put_a_weakening_in_force(store, first, submitted, agree):
    change = submitted(DEBUG)
    assert (change.proposed, change.version, change.digest) == (2, 1, first.digest)
    assert agree(2, 0).voters != ()
    assert states(store) == ["proposed", "in force"]
    change = agree(2, 1)
    assert (change.version, change.proposed, len(change.voters)) == (2, None, 2)
    assert states(store) == ["in force", "replaced"]


def test_sa_09_a_duplicate_voter_counts_once(store, first, submitted, agree):
    submitted(DEBUG)
    assert agree(2, 0).proposed == agree(2, 0).proposed == 2
    assert states(store) == ["proposed", "in force"]


def test_sa_09_one_key_in_two_files_is_one_owner(tmp_path, keys):
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(public_pem(keys[0].public_key()))
    with pytest.raises(OwnersUnusable) as caught:
        Approvals.of_files(["a.pem", "b.pem"], 2, base=tmp_path)
    assert caught.value.code == "SR-OWNERS"


def test_sa_09_a_vote_of_an_earlier_change_is_void_once_the_policy_changed(
    store, first, submitted, keys, two_of_two
):  # fmt: skip
    submitted(DEBUG)
    stale = vote_for(store, 2, keys[0])
    submitted("require_fresh = true")  # admits less, and so acts at once
    assert states(store) == ["in force", "dropped", "replaced"]
    submitted(DEBUG)
    with pytest.raises(VoteRefused, match="not about version 4"):
        store.write(lambda tx: approve(tx, "default", 4, stale, two_of_two))
    with pytest.raises(VoteRefused, match="it is dropped"):
        store.write(lambda tx: approve(tx, "default", 2, stale, two_of_two))


def test_sa_09_votes_do_not_bring_the_same_policy_back_later(store, first, submitted, keys, two_of_two):
    """The texts are those that the owners agreed to once; the owners decide again."""
    submitted(DEBUG)
    votes = [vote_for(store, 2, key) for key in keys[:2]]
    for vote in votes:
        store.write(lambda tx, vote=vote: approve(tx, "default", 2, vote, two_of_two))
    assert submitted().version == 3  # back to the strict one, at once
    assert submitted(DEBUG).proposed == 4
    for vote in votes:
        with pytest.raises(VoteRefused, match="not about version 4"):
            store.write(lambda tx, vote=vote: approve(tx, "default", 4, vote, two_of_two))


def test_sa_09_a_vote_for_one_tenant_is_none_for_another(store, first, submitted, keys, two_of_two):
    store.write(lambda tx: tenants.create(tx, "b"))
    submitted(tenant="b", approvals=NO_APPROVALS)
    submitted(DEBUG)
    submitted(DEBUG, tenant="b")
    vote = vote_for(store, 2, keys[0])
    with pytest.raises(VoteRefused):
        store.write(lambda tx: approve(tx, "b", 2, vote, two_of_two))


def test_sa_09_a_stranger_and_a_former_owner_do_not_count(store, submitted, agree, keys, two_of_two):
    submitted(approvals=NO_APPROVALS)
    submitted(DEBUG)
    with pytest.raises(VoteRefused, match="not the key of an owner"):
        agree(2, 2)
    agree(2, 0)
    later = Approvals({key_id(each.public_key()): each.public_key() for each in keys[1:]}, 2)
    change = store.write(lambda tx: approve(tx, "default", 2, vote_for(store, 2, keys[1]), later))
    assert change.proposed == 2
    assert store.read(lambda tx: voters(tx, history.version(tx, "default", 2), later)) == (
        key_id(keys[1].public_key()),
    )


def test_sa_09_a_kept_vote_ends(store, first, submitted, agree, two_of_two):
    submitted(DEBUG)
    agree(2, 0)

    def later(tx):
        tx.now_ms += 8 * 86_400_000
        return voters(tx, history.version(tx, "default", 2), two_of_two)

    assert store.read(later) == ()


def test_sa_09_what_was_changed_in_the_store_is_no_vote(store, first, submitted, agree, two_of_two):
    submitted(DEBUG)
    agree(2, 0)
    store.write(lambda tx: tx.execute("UPDATE policy_votes SET signature = ?", (b"\xff" * 72,)))
    assert store.read(lambda tx: voters(tx, history.version(tx, "default", 2), two_of_two)) == ()


def test_the_first_policy_of_a_tenant_admits_more_than_none(store, submitted, agree):
    store.write(lambda tx: tenants.create(tx, "b"))
    change = submitted(tenant="b")
    assert (change.proposed, change.version, change.digest, change.rules) == (1, None, NOTHING, 0)
    assert "--tenant b" in change.problem
    agree(1, 0, tenant="b")
    assert agree(1, 1, tenant="b").version == 1


def test_the_same_text_is_the_same_version_and_the_same_proposal(store, first, submitted):
    assert submitted().version == 1
    assert submitted(DEBUG).proposed == submitted(DEBUG, author="bob").proposed == 2
    assert states(store) == ["proposed", "in force"]


def test_an_authors_new_proposal_takes_the_place_of_the_earlier(store, first, submitted):
    submitted(DEBUG)
    submitted("allow_provision_key = true")
    assert states(store) == ["proposed", "dropped", "in force"]


def test_a_proposal_is_withdrawn_once(store, first, submitted):
    submitted(DEBUG)
    store.write(lambda tx: withdraw(tx, "default", 2))
    assert states(store) == ["dropped", "in force"]
    with pytest.raises(VoteRefused, match="it is dropped"):
        store.write(lambda tx: withdraw(tx, "default", 2))


def test_votes_suffice_where_the_workspace_wants_fewer_by_now(store, first, submitted, agree, two_of_two):
    submitted(DEBUG)
    agree(2, 0)
    assert submitted(DEBUG, approvals=Approvals(two_of_two.owners, 1)).version == 2


def test_a_broken_policy_changes_nothing(store, first, two_of_two):
    with pytest.raises(PolicyFileMalformed):
        store.write(lambda tx: submit(tx, "default", b"version = 2", "ann", two_of_two))
    assert states(store) == ["in force"]


def test_a_version_is_compared_with_the_one_before_it(store, first, submitted):
    submitted(DEBUG, approvals=NO_APPROVALS)
    submitted("require_fresh = true", approvals=NO_APPROVALS)

    def found(number):
        return store.read(lambda tx: history.difference(tx, "default", number))

    assert found(1).wider[0].sentence.startswith("rule 'one' is new")
    assert [each.word for each in found(2).wider[0].words] == ["allow_debug"]
    assert found(3) == found(None)
    assert not found(3).wider
    assert store.read(lambda tx: history.difference(tx, "nobody")).wider == ()


def test_an_unknown_version_is_said_to_be_none(store, first, keys, two_of_two):
    with pytest.raises(UnknownPolicyVersion) as caught:
        store.read(lambda tx: history.version(tx, "default", 7))
    assert caught.value.code == "SR-POLICY-VERSION"


def test_owners_are_read_from_files(tmp_path, keys):
    (tmp_path / "a.pem").write_bytes(public_pem(keys[0].public_key()))
    found = Approvals.of_files(["a.pem"], 1, base=tmp_path)
    assert list(found.owners) == [key_id(keys[0].public_key())]
    assert Approvals.of_files([], 1, base=tmp_path) == NO_APPROVALS
    with signer_pem(Ed25519PrivateKey.generate()).reveal() as raw:
        (tmp_path / "b.pem").write_bytes(raw)
    with pytest.raises(BadSigningKey):
        Approvals.of_files(["b.pem"], 1, base=tmp_path)


def test_a_record_of_a_change_is_plain_and_bounded(first, submitted):
    record = submitted(DEBUG).record()
    assert record["kind"] == "policy"
    assert record["tenant"] == "default"
    assert len(record["wider"]) <= 20
    assert len(record["problem"]) <= 400


def test_kd_17_a_tenant_is_created_suspended_and_resumed(store):
    with pytest.raises(tenants.TenantTaken) as taken:
        store.write(lambda tx: tenants.create(tx, "default"))
    assert taken.value.code == "SR-TENANT-TAKEN"
    store.write(lambda tx: tenants.create(tx, "b"))
    assert [each.name for each in store.read(tenants.all_tenants)] == ["b", "default"]
    assert store.read(lambda tx: tenants.active(tx, "b"))
    store.write(lambda tx: tenants.suspend(tx, "b"))
    assert not store.read(lambda tx: tenants.active(tx, "b"))
    store.write(lambda tx: tenants.resume(tx, "b"))
    assert store.read(lambda tx: tenants.active(tx, "b"))
    assert not store.read(lambda tx: tenants.active(tx, "nobody"))
    with pytest.raises(tenants.UnknownTenant) as unknown:
        store.write(lambda tx: tenants.suspend(tx, "nobody"))
    assert unknown.value.code == "SR-UNKNOWN-TENANT"


def test_kd_17_the_peer_of_an_unknown_tenant_sees_what_a_forbidden_one_sees():
    denial = tenants.refusal("nobody")
    assert denial.shown == "NOT_RELEASED"
    assert denial.reasons[0].code == "TENANT_NOT_SERVED"
    assert State.IN_FORCE == "in force"
