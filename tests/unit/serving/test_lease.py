"""A key's lease: kept while the broker renews it, lost on a refusal or in time, and brought back."""

import asyncio
import traceback

import pytest

from strongroom.broker.client import BrokerRefused, BrokerUnreachable
from strongroom.secret import Secret
from strongroom.serving.dataplane import Dataplane, Query
from strongroom.serving.lease import KeyLease, LeaseLost
from strongroom.serving.status import code_of
from strongroom.tfserving.codes import Code
from strongroom.serving.readiness import Readiness


class Broker:
    """Answers from a list; the last answer stays. `asked` is set after each question."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), asyncio.Event()

    async def ask(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.set()
        if isinstance(answer, Exception):
            raise answer
        return Secret(b"k" * 16)


def run(broker_answers, until, seconds=0.6):
    """Keep a lease until `until(allowed, readiness)`; return what `allow` was told and the readiness."""

    async def scenario():
        broker, readiness, allowed = Broker(*broker_answers), Readiness(), []
        lease = KeyLease(ask=broker.ask, seconds=seconds, readiness=readiness, allow=allowed.append)
        task = asyncio.create_task(lease.keep())
        try:
            async with asyncio.timeout(20):
                while not until(allowed, readiness):
                    await broker.asked.wait()
                    broker.asked.clear()
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return allowed, readiness

    return asyncio.run(scenario())


def test_a_renewed_lease_changes_nothing():
    allowed, readiness = run(["key"], lambda allowed, _: len(allowed) >= 3)
    assert set(allowed) == {True}
    assert readiness.ready


def test_sv_19_a_refusal_ends_the_lease_at_once_and_a_renewal_brings_it_back():
    refused = BrokerRefused("closed")
    allowed, readiness = run([refused], lambda allowed, _: bool(allowed), seconds=1)
    assert (allowed, readiness.reason) == ([False], "key lease lost: the broker refused to renew it")
    allowed, readiness = run([refused, "key"], lambda allowed, _: True in allowed)
    assert allowed[:2] == [False, True]
    assert readiness.ready


def test_sv_19_an_unreachable_broker_ends_the_lease_only_when_its_time_is_over():
    gone = BrokerUnreachable("no route")
    allowed, readiness = run([gone], lambda allowed, _: bool(allowed), seconds=0.7)
    assert (allowed[0], readiness.reason) == (False, "key lease lost: the broker was not reached in time")
    allowed, readiness = run([gone, "key"], lambda allowed, _: bool(allowed), seconds=5)
    assert (allowed, readiness.ready) == ([True], True)


def test_sv_19_a_server_without_its_lease_refuses_and_is_not_ready():
    plane = Dataplane(accepting=True)
    plane.suspended = LeaseLost(REFUSED)
    for _ in range(3):
        with pytest.raises(LeaseLost) as caught:
            plane.choose(Query("m"))
    assert (code_of(caught.value), len(traceback.extract_tb(caught.value.__traceback__))) == (Code.UNAVAILABLE, 2)
    assert (plane.ready, plane.not_ready_reason) == (False, REFUSED)
    plane.suspended = None
    assert plane.ready


def test_a_lost_lease_has_its_own_code():
    with pytest.raises(LeaseLost) as caught:
        raise LeaseLost("the lease has ended")
    assert caught.value.code == "SR-SERVE-LEASE"
