"""Each way in which a replica is not ready, from the API server's own words, and what a person reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.deploy.cluster.objects import EventNote, event_of, pod_of, workload_of
from strongroom.deploy.cluster.reasons import Heard, Standing, last_code, last_fix, last_sentence, why

UNSCHEDULABLE = "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient sgx.intel.com/epc."
LOG = """\
2026-03-01 12:00:00 starting
strongroom: refused: the bundle is not what its owner signed
  what to do: Copy the folder again.
  [SR-BUNDLE-FORGED]
"""


def crashed(code=2, *, reason="Error", restarts=3):
    return [
        {
            "name": "model-server",
            "image": "x",
            "ready": False,
            "restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"reason": reason, "exitCode": code}},
        }
    ]


def test_a_replica_that_waits_for_its_key_says_what_the_replica_says(pod_answer):
    said = "waiting for key: TCB OutOfDate (INTEL-SA-00615); the broker closed the connection without a secret"
    found = why(pod_of(pod_answer()), Heard(readyz=said))
    assert (found.standing, found.words) == (Standing.REFUSED, said)
    assert "ledger show" in found.fix


def test_a_replica_that_has_not_asked_yet_is_not_refused(pod_answer):
    found = why(pod_of(pod_answer()), Heard(readyz="waiting for key: the broker was not asked yet"))
    assert found.standing is Standing.WAITING


def test_dp_06_too_little_enclave_memory_is_named_instead_of_a_pending_pod(pod_answer):
    conditions = [{"type": "PodScheduled", "status": "False", "message": UNSCHEDULABLE}]
    found = why(pod_of(pod_answer(phase="Pending", conditions=conditions, containers=[])))
    assert found.standing is Standing.WAITING
    assert "Insufficient sgx.intel.com/epc" in found.words
    assert "[deploy.resources] epc" in found.fix
    assert "[deploy.resources] cpu" in found.fix


def test_dp_06_a_missing_device_plugin_is_named(pod_answer):
    words = "0/1 nodes are available: 1 Insufficient sgx.intel.com/enclave, 1 Insufficient sgx.intel.com/epc."
    conditions = [{"type": "PodScheduled", "status": "False", "message": words}]
    assert "device plugin" in why(pod_of(pod_answer(conditions=conditions, containers=[]))).fix


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_cannot_be_had_is_named(pod_answer, reason):
    waiting = [{"name": "model-server", "image": "r/x:v9", "ready": False, "state": {"waiting": {"reason": reason}}}]
    found = why(pod_of(pod_answer(containers=waiting)))
    assert (found.standing, found.words) == (Standing.FAILED, f"{reason}: r/x:v9")
    assert "deploy build --push" in found.fix


def test_dp_07_a_crash_is_visible_with_its_last_words_code_and_fix(pod_answer):
    found = why(pod_of(pod_answer(containers=crashed())), Heard(last_log=LOG))
    assert found.standing is Standing.FAILED
    assert "ended with status 2, 3 restarts: refused: the bundle is not what its owner signed" in found.words
    assert (found.code, found.fix) == ("SR-BUNDLE-FORGED", "Copy the folder again.")


def test_a_replica_that_ended_with_status_three_was_refused(pod_answer):
    assert why(pod_of(pod_answer(containers=crashed(3)))).standing is Standing.REFUSED


def test_a_replica_without_enough_memory_is_told_so(pod_answer):
    found = why(pod_of(pod_answer(containers=crashed(137, reason="OOMKilled"))))
    assert "more memory than its limit" in found.words


def test_a_volume_that_cannot_be_mounted_is_named(pod_answer):
    note = EventNote(about="x", reason="FailedMount", message='secret "strongroom-simulated-world" not found')
    found = why(pod_of(pod_answer(containers=[], phase="Pending")), Heard(warnings=(note,)))
    assert "simulated-world" in found.words


def test_ready_and_leaving_are_no_trouble(pod_answer):
    assert why(pod_of(pod_answer(ready=True))).standing is Standing.READY
    assert why(pod_of(pod_answer(ready=True, leaving=True))).standing is Standing.LEAVING


def test_the_last_error_of_a_log_counts():
    assert last_code("[SR-A] then\n[SR-B-C]\n") == "SR-B-C"
    assert last_fix(LOG + "  what to do: Do that.\n") == "Do that."
    assert last_sentence("one\ntwo\n\n") == "two"
    assert (last_code(""), last_fix(""), last_sentence("")) == ("", "", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["metadata", "status", "spec", "name", "conditions", "type", "containerStatuses", "state",
                         "waiting", "labels", "creationTimestamp", "replicas", "involvedObject", "podIP"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["metadata", "status", "spec", "involvedObject"]), JSON))
def test_whatever_an_api_server_answers_is_read_without_an_error(value):
    found = pod_of(value)
    assert why(found, Heard(warnings=(event_of(value),))).words
    assert workload_of(value).wanted is not None
