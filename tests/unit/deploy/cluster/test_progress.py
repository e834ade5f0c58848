"""When a wait is over, and with which exit status."""

from datetime import UTC, datetime

import pytest

from strongroom.deploy.cluster.objects import Workload, pod_of
from strongroom.deploy.cluster.progress import FAILED_PATIENCE_S, REFUSED_PATIENCE_S, Patience, progress
from strongroom.deploy.cluster.reasons import Heard
from strongroom.deploy.cluster.replicas import replica_of

NOW = datetime(2026, 3, 1, 12, 10, tzinfo=UTC)
REFUSED = Heard(readyz="waiting for key: refused")


def workload(**more):
    usual = {"name": "x", "wanted": 2, "ready": 2, "updated": 2, "total": 2, "settled": True}
    return Workload(**{**usual, **more})


@pytest.fixture
def replica(pod_answer):
    def make(name, *, heard=None, **more):
        return replica_of(pod_of(pod_answer(name, **more)), now=NOW, heard=heard or Heard())

    return make


def test_it_is_done_when_every_replica_is_ready_and_none_is_old(replica):
    both = [replica("a", ready=True), replica("b", ready=True)]
    assert progress(workload(), both).done
    assert not progress(workload(updated=1), both).done
    assert not progress(workload(settled=False), both).done
    assert not progress(workload(wanted=3), both).done
    assert not progress(None, []).done


def test_a_replica_that_still_drains_is_waited_for(replica):
    three = [replica("a", ready=True), replica("b", ready=True), replica("c", ready=True, leaving=True)]
    assert not progress(workload(), three).done


def test_refusal_is_said_after_a_while_with_the_status_of_refusals(replica):
    seen = progress(workload(ready=1), [replica("a", ready=True), replica("b", heard=REFUSED)])
    patience = Patience().after(seen, 10.0)
    assert patience.exhausted(seen, 10.0, deadline_s=300) is None
    found = patience.after(seen, 40.0).exhausted(seen, 10.0 + REFUSED_PATIENCE_S, deadline_s=300)
    assert (found.code, found.exit_status) == ("SR-DEPLOY-REFUSED", 3)
    assert "b: waiting for key" in found.sentence


def test_a_refusal_that_passes_is_forgotten(replica):
    refused = progress(workload(ready=1), [replica("b", heard=REFUSED)])
    ready = progress(workload(), [replica("a", ready=True), replica("b", ready=True)])
    assert Patience().after(refused, 0.0).after(ready, 5.0) == Patience()


def test_what_cannot_start_is_said_to_be_the_callers_to_mend(replica):
    waiting = [{"name": "model-server", "image": "x:v9", "state": {"waiting": {"reason": "ErrImagePull"}}}]
    seen = progress(workload(ready=1), [replica("b", containers=waiting)])
    found = Patience().after(seen, 0.0).exhausted(seen, FAILED_PATIENCE_S, deadline_s=300)
    assert (found.code, found.exit_status) == ("SR-DEPLOY-FAILS", 2)
    assert "deploy build --push" in found.fix


def test_time_that_is_over_is_try_later(replica):
    seen = progress(workload(ready=0), [replica("a")])
    found = Patience().after(seen, 0.0).exhausted(seen, 300.0, deadline_s=300)
    assert (found.code, found.exit_status) == ("SR-DEPLOY-NOT-READY", 4)
