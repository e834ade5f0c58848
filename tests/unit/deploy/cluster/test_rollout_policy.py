"""A new version gets the rules of the old one, and nothing that nobody gave it."""

import pytest

from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.measurement_file import MeasuredBuild
from strongroom.deploy.cluster.rollout_policy import (
    NothingToCopy,
    admits,
    with_build,
    with_model,
    without,
    without_model,
)

OLD, NEW = "ab" * 32, "cd" * 32
POLICY = f"""\
version = 1
# Written by hand.

[[rule]]
name = "tiny on the simulated platform"  # mine
mrenclave = "{OLD}"
accepted_tcb_status = ["UpToDate"]
trust_domains = ["simulated"]
allow_debug = false
max_collateral_age_days = 7
allow_smt_enabled = true
release = "model/tiny/1"
max_leases = 5

[[rule]]
name = "somebody else"
mrenclave = "{"ef" * 32}"
accepted_tcb_status = ["UpToDate"]
trust_domains = ["simulated"]
allow_debug = false
max_collateral_age_days = 7
release = "secret/other"
"""
BUILD = MeasuredBuild(mr_enclave=bytes.fromhex(NEW))


def rules(text):
    return policy_file.parse(text).written


def test_the_new_build_is_admitted_beside_the_old_one_with_the_same_words():
    text, names = with_build(POLICY, [OLD], BUILD)
    assert text.startswith(POLICY)
    assert len(names) == 1
    old, _, new = rules(text)
    assert new.policy.mrenclave == bytes.fromhex(NEW)
    assert (new.release, new.limits, new.policy.allow_smt_enabled) == (old.release, old.limits, True)
    assert admits(text, NEW)
    assert admits(text, OLD)


def test_doing_it_twice_changes_nothing():
    text, _ = with_build(POLICY, [OLD], BUILD)
    assert with_build(text, [OLD], BUILD) == (text, ())


def test_what_nobody_trusted_is_not_trusted_by_a_rollout():
    with pytest.raises(NothingToCopy) as caught:
        with_build(POLICY, ["00" * 32], BUILD)
    assert caught.value.code == "SR-ROLLOUT-NO-RULE"


def test_going_back_leaves_the_policy_as_its_author_wrote_it():
    text, names = with_build(POLICY, [OLD], BUILD)
    assert without(text, names).rstrip() == POLICY.rstrip()
    assert without(POLICY, names) == POLICY


def test_a_rule_between_others_is_taken_out_alone():
    text, names = with_build(POLICY, [OLD], BUILD)
    block = POLICY[POLICY.index("[[rule]]") :].replace("tiny on", "later on").replace(OLD, "12" * 32)
    later = text + "\n" + block.replace("somebody else", "a third")
    assert [each.name for each in rules(without(later, names))] == [
        each.name for each in rules(later) if each.name not in names
    ]


def test_a_new_model_version_is_released_to_what_gets_the_old_one():
    text = with_model(POLICY, [OLD], "tiny", 2)
    assert [each.release for each in rules(text)] == ["model/tiny/1, model/tiny/2", "secret/other"]
    assert with_model(text, [OLD], "tiny", 2) == text
    assert rules(without_model(text, "tiny", 2)) == rules(POLICY)
    assert "# mine" in text


def test_a_model_that_the_replicas_never_got_is_not_given_to_them():
    with pytest.raises(NothingToCopy):
        with_model(POLICY, [OLD], "other", 2)


def test_a_policy_that_a_program_cannot_change_is_left_to_its_author():
    text = POLICY.replace('release = "model/tiny/1"', 'release = [\n  "model/tiny/1",\n]')
    with pytest.raises((NothingToCopy, policy_file.PolicyFileMalformed)):
        with_model(text, [OLD], "tiny", 2)
