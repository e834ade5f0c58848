"""A key's lease: kept while the broker renews it, lost on a refusal or in time, and brought back."""

import asyncio
import traceback

import pytest

from strongroom.broker.gramine_client import BrokerRefused, BrokerUnreachable
from strongroom.secret import Secret
from strongroom.serving.operations.lease import KeyLease, LeaseLost
from strongroom.serving.requests.dataplane import Dataplane, Query
from strongroom.serving.status import code_of
from strongroom.tfserving.codes import Code


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
    """Keep a lease until `until(told)`; return what `suspend` was told, as sentences."""

    async def scenario():
        broker, told = Broker(*broker_answers), []
        lease = KeyLease(ask=broker.ask, seconds=seconds, suspend=lambda why: told.append(why and why.sentence))
        task = asyncio.create_task(lease.keep())
        try:
            async with asyncio.timeout(20):
                while not until(told):
                    await broker.asked.wait()
                    broker.asked.clear()
                    await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return told

    return asyncio.run(scenario())


REFUSED = "key lease lost: the broker refused to renew it"
LATE = "key lease lost: the broker was not reached in time"


def test_a_renewed_lease_changes_nothing():
    assert set(run(["key"], lambda told: len(told) >= 3)) == {None}


def test_sv_19_a_refusal_ends_the_lease_at_once_and_a_renewal_brings_it_back():
    assert run([BrokerRefused("closed")], bool, seconds=1) == [REFUSED]
    assert run([BrokerRefused("closed"), "key"], lambda told: None in told)[:2] == [REFUSED, None]


def test_sv_19_an_unreachable_broker_ends_the_lease_only_when_its_time_is_over():
    gone = BrokerUnreachable("no route")
    assert run([gone], bool, seconds=0.7)[0] == LATE
    assert run([gone, "key"], bool, seconds=5) == [None]


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
