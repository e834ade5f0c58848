"""What `make kube` does with what it sees: calls are counted, checks kept, intruders made, renderings listed."""

import json
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools"))

from kube import intruders, journey, load, owner, profiles, registry, results, scrape  # noqa: E402  # found by the line above
from strongroom.deploy.description import Description, Engine, Front, Tee  # noqa: E402
from strongroom.deploy.gramine.simulated import replica_manifest  # noqa: E402


def call(began, seconds=0.1, kind=load.PATIENT, error=None):
    return results.Call(kind, began, seconds, error)


def test_a_call_counts_in_every_phase_that_it_ran_in():
    calls = [call(0.0), call(0.95), call(1.5, error="SR-X it broke"), call(2.05), call(1.5, kind=load.ONCE)]
    counted = results.tally(calls, load.PATIENT, 1.0, 2.0)
    assert (counted.calls, counted.failed, counted.errors) == (2, 1, {"SR-X": 1})
    assert counted.worst_ms == pytest.approx(100)
    assert results.tally([], load.PATIENT, 0, 1) == results.Tally(0, 0, {}, 0.0, 0.0, 0.0)


def test_a_last_line_that_is_not_whole_is_left_for_later(tmp_path):
    path = tmp_path / "calls.jsonl"
    assert results.read_calls(path) == []
    with path.open("w", encoding="utf-8") as file:
        log = load.Log(file)
        log.write(load.PATIENT, 1.0, None)
        log.write(load.ONCE, 2.0, "SR-Y gone")
        file.write('{"kind": "pat')
    found = results.read_calls(path)
    assert [(each.kind, each.began, each.error) for each in found] == [
        (load.PATIENT, 1.0, None),
        (load.ONCE, 2.0, "SR-Y gone"),
    ]


def test_a_run_holds_only_if_it_checked_something_and_everything_held():
    found = results.Results()
    assert not found.held
    with found.phase("first") as phase:
        phase.times["part"] = 0.5
        assert found.check("this holds", True)
    assert found.held
    with found.phase("second"):
        found.check("this does not", False, ["why"])
    assert not found.held
    assert found.phases[1].ended >= found.phases[1].began
    text = "\n".join(results.table(found, [call(phase.began, error="SR-Z no")]))
    assert "held    first: this holds" in text
    assert "BROKEN  second: this does not [['why']]" in text


def test_numbers_are_written_as_benchmarks_write_theirs():
    found = results.Results()
    with found.phase("scale") as phase:
        found.check("this holds", True)
    calls = [call(phase.began, error="SR-Z no"), call(phase.began, kind=load.ONCE)]
    measures = {each["measure"]: each for each in results.measures(found, calls)}
    assert measures["scale: failed with client retries"]["holds"] is False
    assert measures["scale: failed without retries"]["holds"] is None
    assert measures["checks that held"]["holds"] is True
    keys = {"measure", "value", "unit", "target", "holds", "command"}
    assert {frozenset(each) for each in measures.values()} == {frozenset(keys)}


def test_every_intruder_changes_what_it_says_and_nothing_else():
    manifest = replica_manifest(Description())
    lines = manifest.splitlines()
    for each in intruders.INTRUDERS:
        after = intruders.changed(each, manifest).splitlines()
        differing = sum(one != other for one, other in zip(lines, after, strict=True))
        assert differing == (1 if each.change else 0)
        text = intruders.containerfile(each, "localhost:5000/x@sha256:00")
        assert text.startswith("FROM localhost:5000/x@sha256:00\n")
        assert ("COPY replica.manifest" in text) is (each.change is not None)
    with pytest.raises(ValueError, match=r"has no sgx\.debug"):
        intruders.changed(intruders.INTRUDERS[2], "nothing")


def test_a_denial_is_one_for_its_reason():
    entry = {"decision": "denied", "reasons": [{"code": "POLICY_DEBUG"}]}
    assert intruders.is_denial(entry, "POLICY_DEBUG")
    assert not intruders.is_denial(entry, "POLICY_MRENCLAVE")
    assert not intruders.is_denial({**entry, "decision": "granted"}, "POLICY_DEBUG")


def test_every_cloud_tee_and_front_is_shown_to_the_api_server():
    found = [each for _, each in profiles.descriptions()]
    assert {each.front for each in found} == set(Front)
    assert {each.tee for each in found} == set(Tee)
    assert all(each.tee is Tee.SGX for each in found if each.engine is Engine.TENSORFLOW_SERVING)
    assert {each.kubernetes for each in found} == {(1, 20)}
    assert {each.cloud for each in found} >= {"generic", "azure", "alibaba", "tencent", "bytedance"}


def test_only_kinds_of_other_software_are_not_shown():
    ours, others = profiles.ours(({"apiVersion": "v1"}, {"apiVersion": "gateway.networking.k8s.io/v1beta1"}))
    assert (ours, others) == ([{"apiVersion": "v1"}], 1)


def test_the_registry_listens_on_loopback_alone():
    found = json.loads(registry.configuration(Path("/x"), 5000))
    assert found["http"]["addr"].startswith("127.0.0.1:")
    assert found["storage"]["filesystem"]["rootdirectory"] == "/x"


def test_requests_are_added_up_over_all_labels():
    text = '# HELP\n:tensorflow:serving:request_count{a="1"} 3\n:tensorflow:serving:request_count{a="2"} 4\nother 9\n'
    assert scrape.total(text, scrape.COUNT) == 7


def test_the_model_answers_what_the_load_expects():
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    session = onnxruntime.InferenceSession(owner.half_plus_two(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["y"], {"x": load.GIVEN})
    assert answer.tolist() == load.WANTED.tolist()


def test_pods_are_ready_when_their_condition_says_so():
    pod = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"restartCount": 2}]}}
    assert journey.is_ready(pod)
    assert journey.restarts_of(pod) == 2
    assert not journey.is_ready({"status": {}})
    assert journey.restarts_of({"status": {}}) == 0
