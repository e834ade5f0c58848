"""The steps of a rollout: its order, its way back, and what holds at every moment whatever fails or crashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.cluster.rollout_plan import (
    SENTENCES,
    Limits,
    Outcome,
    Position,
    Step,
    Watched,
    after,
    judge,
)

FORWARD = [Step.ADMIT, Step.SHIFT, Step.WATCH, Step.REVOKE, Step.PROVE, Step.FINISHED]


def test_without_failures_the_old_version_is_revoked_after_the_shift():
    position, passed = Position(), []
    while not position.ended:
        passed.append(position.step)
        position = after(position, Outcome.DONE)
    assert [*passed, position.step] == FORWARD


@pytest.mark.parametrize("step", FORWARD[:-1])
def test_a_failure_of_any_step_leads_back_to_the_old_version(step):
    position = after(Position(step=step), Outcome.FAILED, "it broke")
    while not position.ended:
        assert position.going_back
        position = after(position, Outcome.DONE)
    assert (position.step, position.why) == (Step.ROLLED_BACK, "it broke")


def test_the_first_failure_is_the_one_that_is_told():
    position = after(Position(step=Step.WATCH), Outcome.FAILED, "first")
    assert after(position, Outcome.FAILED, "second").why == "first"


@pytest.mark.parametrize("step", list(Step))
def test_what_waits_or_has_ended_stays_where_it_is(step):
    assert after(Position(step=step), Outcome.LATER) == Position(step=step)


def test_every_step_has_a_sentence():
    assert set(SENTENCES) == set(Step)


class World:
    """What the steps do to a broker and a cluster; a step that fails or is killed may have done its part or not."""

    def __init__(self):
        self.admitted, self.revoked, self.running = {"old"}, set(), {"old"}

    def carry_out(self, step, partly):
        match step:
            case Step.ADMIT:
                self.admitted.add("new")
            case Step.SHIFT:
                self.running = {"old", "new"} if partly else {"new"}
            case Step.REVOKE:
                self.revoked.add("old")
            case Step.LIFT:
                self.revoked.discard("old")
            case Step.RESTORE:
                self.running = self.running | {"old"} if partly else {"old"}
            case Step.WITHDRAW:
                self.admitted.discard("new")

    def safe(self):
        return self.running <= self.admitted - self.revoked


EVENTS = st.lists(st.tuples(st.sampled_from(["done", "failed", "killed", "later"]), st.booleans()), max_size=60)


@given(EVENTS)
def test_whatever_fails_or_crashes_what_runs_is_admitted_and_not_revoked(events):
    world, position = World(), Position()
    for event, partly in events:
        if position.ended:
            break
        step = position.step
        if event == "done":
            world.carry_out(step, partly=False)
            position = after(position, Outcome.DONE)
        elif event == "killed":  # it may have done all or part, and nothing was remembered
            world.carry_out(step, partly=partly)
        elif event == "failed":
            if step not in (Step.LIFT, Step.WITHDRAW):
                world.carry_out(step, partly=True)
            position = after(position, Outcome.FAILED, "why")
        # What serves alone has to be admitted; of two versions that serve together, while the way back has begun
        # after a revocation, the old one comes back only after its revocation was lifted.
        assert world.safe() or step is Step.REVOKE or position.step in (Step.REVOKE, Step.LIFT)
        if not world.safe():
            assert "new" in world.running & world.admitted - world.revoked
    if position.step is Step.FINISHED:
        assert (world.running, world.revoked) == ({"new"}, {"old"})
    if position.step is Step.ROLLED_BACK:
        assert (world.running, world.admitted, world.revoked) == ({"old"}, {"old"}, set())


@given(st.lists(st.sampled_from(list(Outcome)), min_size=20, max_size=40))
def test_a_rollout_that_makes_progress_ends(outcomes):
    position, moves = Position(), 0
    for outcome in outcomes:
        following = after(position, outcome, "why")
        moves += following != position
        position = following
    assert moves <= len(Step)


GOOD = {"elapsed_s": 31.0, "ready": 3, "wanted": 3, "errors": 0, "refusals": 0, "restarts": 0}


@pytest.mark.parametrize(
    ("seen", "outcome", "word"),
    [
        ({}, Outcome.DONE, ""),
        ({"elapsed_s": 1.0}, Outcome.LATER, ""),
        ({"elapsed_s": 1.0, "ready": 2}, Outcome.LATER, ""),
        ({"ready": 2}, Outcome.FAILED, "2 of 3 replicas"),
        ({"elapsed_s": 1.0, "errors": 1}, Outcome.FAILED, "failed 1 requests"),
        ({"elapsed_s": 1.0, "refusals": 1}, Outcome.FAILED, "refused the new version 1 times"),
        ({"elapsed_s": 1.0, "restarts": 1}, Outcome.FAILED, "started again 1 times"),
    ],
)
def test_a_new_version_is_judged_by_errors_refusals_restarts_and_readiness(seen, outcome, word):
    found, why = judge(Watched(**{**GOOD, **seen}), Limits())
    assert found is outcome
    assert word in why
