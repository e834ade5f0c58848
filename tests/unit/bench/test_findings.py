"""From runs to numbers, from numbers to targets, and what is written of them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from serving import results
from serving.load import Run
from serving.measure import QUICK, Contestant, Effort, Measured, measure
from serving.models import IMAGE, TINY
from serving.parts import ENGINE, IN_TURNS, RECEIVE, Cell, Findings
from serving.plot import plot
from serving.processes import Server, tree
from serving.requests import (
    check_infer,
    check_json,
    check_predict,
    infer_message,
    predict_message,
)
from serving.targets import REFERENCE, C, targets
from strongroom.tfserving import PredictRequest, PredictResponse, array_to_tensor, parse, tensor_to_array

HALF_PLUS_TWO = np.array([2.5, 3, 4.5], np.float32)


class Spending:
    """A server whose CPU clock moves as a test says: so many seconds for each request."""

    def __init__(self, *each_s):
        self.spent_s, self.each_s, self.asked = 0.0, list(each_s), []

    def cpu_s(self):
        return self.spent_s

    def ask(self, count):
        self.asked.append(count)
        self.spent_s += count * (self.each_s.pop(0) if len(self.each_s) > 1 else self.each_s[0])
        return Run(0, latencies_s=[0.001 * index for index in range(1, count + 1)], wall_s=2.0)


def test_a_warm_up_finds_how_many_requests_fill_a_run():
    server = Spending(0.001)
    (found,) = measure([Contestant(server, server.ask)], Effort(1.0, 2))
    assert server.asked == [8, 64, 2000, 1000, 1000]
    assert found.cpu_us == pytest.approx(1000)
    assert (found.requests, found.per_s) == (1000, 500)
    assert (found.p50_ms, found.p99_ms) == (500, 990)


def test_slow_requests_need_no_long_warm_up_and_a_run_has_24_at_least():
    server = Spending(0.1)
    measure([Contestant(server, server.ask)], Effort(1.0, 1))
    assert server.asked == [8, 24]


def test_the_run_that_cost_least_counts_and_servers_take_turns():
    order = []
    first, second = Spending(0.1, 0.1, 0.3), Spending(0.1, 0.2, 0.4)
    found = measure(
        [
            Contestant(server, lambda count, server=server, name=name: order.append(name) or server.ask(count))
            for server, name in ((first, "a"), (second, "b"))
        ],
        Effort(1.0, 2),
    )
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert [round(each.cpu_us) for each in found] == [100_000, 200_000]
    assert len(found[0].all_cpu_us) == 2


def measured(cpu_us):
    return Measured(cpu_us, 1.0, 1.0, 1.0, 10, (cpu_us,))


def test_targets_are_ratios_of_what_was_measured_and_none_without_it():
    findings = Findings()
    findings.cells[Cell("tiny", "TLS", C)] = measured(20)
    findings.cells[Cell("tiny", "TLS", REFERENCE.title)] = measured(200)
    findings.cells[Cell("image", "TLS", IN_TURNS)] = measured(500)
    findings.cells[Cell("image", "TLS", RECEIVE)] = measured(250)
    findings.cells[Cell("image", "", ENGINE)] = measured(100)
    found = {each.measure: (each.value, each.holds) for each in targets(findings)}
    assert found["half_plus_two, TLS: C codec / grpcio sync"] == (10, True)
    assert found["602 KB, TLS: floor (receive + engine) / served CPU"] == (0.7, False)
    assert found["half_plus_two: TLS / MLServer plaintext"] == (None, None)
    assert len(found) == 10


def test_the_results_are_json_with_the_machine_and_a_picture(tmp_path):
    findings = Findings(missing={"MLServer": "not installed"})
    findings.cells[Cell("tiny", "", ENGINE)] = measured(5)
    findings.cells[Cell("tiny", "TLS", C)] = measured(20)
    findings.cells[Cell("tiny", "TLS", REFERENCE.title)] = measured(200)
    path = tmp_path / "new" / "serving.json"
    written = results.document(findings, QUICK, "a command", results.machine())
    results.write(path, written)
    plot(written, path.with_suffix(".png"))
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["machine"]["cores"] >= 1
    assert read["versions"]["ours"]["onnxruntime"]
    assert read["versions"]["mlserver"]["mlserver"] == "1.7.1"
    assert read["measurements"][1]["cpu_us"] == 20
    assert read["missing"] == {"MLServer": "not installed"}
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_tree_of_a_process_has_its_children_and_their_memory():
    program = (  # busy for more than a tick of the kernel's clock
        "import subprocess, sys; sum(range(5_000_000)); "
        "subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert len(tree(process.pid)) == 2
        server = Server(process.pid, ())
        assert server.cpu_s() > 0
        memory = server.memory()
        assert memory["Rss"] >= memory["Pss"] >= memory["Private"] > 1
        process.stdin.close()


def test_predict_asks_with_the_tensor_and_only_the_right_answer_passes():
    request = parse(PredictRequest, predict_message(TINY))
    assert request.model_spec.name == "tiny"
    assert tensor_to_array(request.inputs["x"]).tolist() == [1, 2, 5]
    right, wrong = PredictResponse(), PredictResponse()
    right.outputs["y"].CopyFrom(array_to_tensor(HALF_PLUS_TWO))
    wrong.outputs["y"].CopyFrom(array_to_tensor(HALF_PLUS_TWO + 1))
    check_predict(TINY)(right.SerializeToString())
    with pytest.raises(AssertionError, match="the server answers"):
        check_predict(TINY)(wrong.SerializeToString())


def test_the_v2_protocol_s_answer_may_be_raw_or_typed():
    values = HALF_PLUS_TWO.tobytes()
    raw = b"\x32" + bytes([len(values)]) + values  # 6, raw_output_contents
    contents = b"\x32" + bytes([len(values)]) + values  # 6, fp32_contents
    tensor = b"\x0a\x01y\x2a" + bytes([len(contents)]) + contents  # 1 name, 5 contents
    check = check_infer(TINY)
    check(raw)
    check(b"\x2a" + bytes([len(tensor)]) + tensor)
    with pytest.raises(AssertionError):
        check(raw[:-1] + b"\x00")


def test_the_v2_request_carries_name_type_shape_and_raw_bytes():
    message = infer_message(TINY, batch=True)
    assert message.startswith(b"\x0a\x04tiny")
    assert b"\x0a\x01x\x12\x04FP32\x1a\x02\x01\x03" in message
    assert message.endswith(b"\x3a\x0c" + TINY.x.tobytes())
    assert IMAGE.example_shape == (224, 224, 3)


def test_json_answers_are_compared_too():
    check = check_json(TINY)
    check(b'{"predictions": [2.5, 3.0, 4.5]}')
    with pytest.raises(AssertionError):
        check(b'{"predictions": [2.5, 3.0]}')
