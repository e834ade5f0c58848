"""An owner's signature counts for one change of one tenant's policy, for some days, and for nothing else."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.policy.votes import Ballot, Vote, VoteMalformed, VoteRefused, key_id, sign

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
BALLOT = Ballot(tenant="default", version=2, policy="ab" * 32, replaces="cd" * 32)


@pytest.fixture
def owners(keys):
    return {key_id(each.public_key()): each.public_key() for each in keys[:2]}


@pytest.fixture
def vote(keys):
    return sign(BALLOT, keys[0], at=AT)


def test_a_vote_is_a_file_and_reads_back(vote, owners):
    again = Vote.from_json(vote.to_json())
    assert again == vote
    again.check(owners, at=AT)


def test_what_is_signed_is_fixed():
    """Every part has its length before it, so that no two ballots share a transcript."""
    transcript = BALLOT.transcript(1)
    assert transcript == (
        b"\x00\x00\x00\x25strongroom policy approval, version 1\x00\x00\x00\x07default"
        b"\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x02"
        b"\x00\x00\x00\x20" + b"\xab" * 32 + b"\x00\x00\x00\x20" + b"\xcd" * 32
        + b"\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01"
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes", [{"tenant": "other"}, {"version": 3}, {"policy": "ac" * 32}, {"replaces": "ce" * 32}]
)
def test_sa_09_a_vote_is_not_replayed_to_another_change(vote, owners, changes):
    forged = replace(vote, ballot=replace(BALLOT, **changes))
    with pytest.raises(VoteRefused, match="does not hold") as caught:
        forged.check(owners, at=AT)
    assert caught.value.code == "SR-VOTE-REFUSED"


@pytest.mark.parametrize("seconds", [1, -1, 86_400])
def test_sa_09_a_vote_is_not_made_to_last_longer(vote, owners, seconds):
    with pytest.raises(VoteRefused, match="does not hold"):
        replace(vote, expires=vote.expires + seconds).check(owners, at=AT)


@pytest.mark.parametrize(("days", "counts"), [(-24, False), (0, True), (6.99, True), (7, False), (400, False)])
def test_sa_09_a_stale_vote_does_not_count(vote, owners, days, counts):
    at = AT + timedelta(days=days)
    if counts:
        vote.check(owners, at=at)
    else:
        with pytest.raises(VoteRefused, match="the vote counts until"):
            vote.check(owners, at=at)


def test_sa_09_only_an_owner_votes(keys, owners):
    with pytest.raises(VoteRefused, match="not the key of an owner"):
        sign(BALLOT, keys[2], at=AT).check(owners, at=AT)
    borrowed = replace(sign(BALLOT, keys[2], at=AT), signer=key_id(keys[0].public_key()))
    with pytest.raises(VoteRefused, match="does not hold"):
        borrowed.check(owners, at=AT)


def test_sa_09_a_signature_for_something_else_is_no_vote(vote, keys, owners):
    bare = bytes.fromhex(BALLOT.policy)
    with pytest.raises(VoteRefused):
        replace(vote, signature=keys[0].sign(bare)).check(owners, at=AT)


@pytest.mark.parametrize("days", [0, 31, -1])
def test_a_vote_lasts_a_month_at_most(keys, days):
    with pytest.raises(VoteMalformed):
        sign(BALLOT, keys[0], at=AT, days=days)


@pytest.mark.parametrize("changes", [
    {"format": "strongroom-policy-vote-2"}, {"version": 0}, {"version": "2"}, {"version": True}, {"version": 2**31},
    {"tenant": "A"}, {"tenant": 1}, {"policy": "AB" * 32}, {"policy": ""},
    {"replaces": None}, {"expires": "1"}, {"expires": 1.5}, {"expires": True}, {"expires": -1}, {"expires": 2**70},
    {"signer": "x"}, {"signature": "AA=="}, {"signature": "é"}, {"signature": 5}, {"more": 1},
])  # fmt: skip
def test_what_is_no_vote_is_refused(vote, changes):
    with pytest.raises(VoteMalformed) as caught:
        Vote.from_json(json.dumps(json.loads(vote.to_json()) | changes).encode())
    assert caught.value.code == "SR-VOTE"


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"{" * 5000, b'{"format": 1, "format": 2}', b"x" * 5000])
def test_any_other_file_is_refused(data):
    with pytest.raises(VoteMalformed):
        Vote.from_json(data)
