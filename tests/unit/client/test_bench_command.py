"""`strongroom bench` against a real gRPC server: the reference client's flags, lines and summary."""

import ast
import json
import re
import signal
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
from PIL import Image

from strongroom.cli import main
from strongroom.client import Credentials, parse_address
from strongroom.client.bench_callers import GrpcSpeech
from strongroom.tfserving import messages
from strongroom.tfserving.tensors import array_to_tensor, tensor_to_array

QUERY = r"query: secure channel, task \d+, batch 2, loop_idx \d+, latency\(ms\) \d+\.\d, tps: \d+\.\d"
SUMMARY = r"summary: cnum 3, batch 2, e2e time\(s\) [\d.]+, average latency\(ms\) [\d.]+, tps: [\d.]+"
ALONE = ["-cnum", "1", "-loop", "1"]


class Classifier:
    """Answers a batch of images with their mean; notes what it was sent and from where."""

    def __init__(self, fail_every=0):
        self.seen, self.peers, self.fail_every = [], set(), fail_every
        self._lock = threading.Lock()

    def predict(self, data, context):
        request = messages.PredictRequest.FromString(data)
        images = tensor_to_array(request.inputs["input"])
        with self._lock:
            self.seen.append((request.model_spec.name, request.model_spec.signature_name, images))
            self.peers.add(context.peer())
            count = len(self.seen)
        if self.fail_every and count % self.fail_every == 0:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full")
        response = messages.PredictResponse()
        response.outputs["predict"].CopyFrom(array_to_tensor(images.reshape(len(images), -1)[:, :2]))
        return response.SerializeToString()


@pytest.fixture
def bench(grpc_server, tls, capsys):
    """Return a function that runs the command against a classifier and gives (status, lines, classifier)."""

    def run(*words, classifier=None, mutual=False, tls_words=None):
        classifier = classifier or Classifier()
        server = grpc_server(predict=classifier.predict, mutual=mutual)
        shown = tls_words if tls_words is not None else ["-crt", str(tls.server)]
        status = main(["bench", "-url", f"localhost:{server.port}", *shown, *words])
        return status, capsys.readouterr().out.splitlines(), classifier

    return run


def test_the_lines_are_the_reference_client_s_and_a_warm_up_runs_first(bench):
    status, lines, classifier = bench("-batch", "2", "-cnum", "3", "-loop", "4")
    queries = [line for line in lines if line.startswith("query")]
    assert status == 0
    assert all(re.fullmatch(QUERY, line) for line in queries)
    assert len(queries) == 3 * 5 + 3 * 4
    assert sum(re.fullmatch(SUMMARY, line) is not None for line in lines) == 2
    assert re.fullmatch(r"percentiles: (p\d\d\(ms\) [\d.]+, ){4}requests 12, errors 0", lines[-1])
    assert classifier.seen[0][0] == "resnet50-v15-fp32"
    assert classifier.seen[0][1] == "serving_default"


def test_the_first_answer_is_printed_as_a_dictionary(bench):
    _, lines, _ = bench(*ALONE)
    printed = [ast.literal_eval(line) for line in lines if line.startswith("{")]
    assert len(printed) == 2
    tensor = printed[0]["outputs"]["predict"]
    assert tensor["dtype"] == "DT_FLOAT"
    assert tensor["tensorShape"] == {"dim": [{"size": "1"}, {"size": "2"}]}


def test_each_task_has_a_channel_of_its_own(bench):
    _, _, classifier = bench("-cnum", "3", "-loop", "2")
    assert len(classifier.peers) == 2 * 3  # warm-up and run


def test_the_version_in_that_dictionary_is_bare_as_in_protobufs_json():
    response = messages.PredictResponse()
    response.model_spec.name = "m"
    speech = GrpcSpeech(parse_address("grpcs://localhost:1"), Credentials())
    assert speech.as_dict(response.SerializeToString()) == {"modelSpec": {"name": "m"}}
    for version in (0, 124):
        response.model_spec.version.value = version
        assert speech.as_dict(response.SerializeToString())["modelSpec"] == {"name": "m", "version": str(version)}


def test_random_images_are_whole_numbers_and_differ_from_task_to_task(bench):
    _, _, classifier = bench("-cnum", "2", "-loop", "1", "-batch", "2")
    first = classifier.seen[0][2]
    assert (first.shape, first.dtype) == ((2, 224, 224, 3), np.float32)
    assert (first == first.round()).all()
    assert len({images.tobytes() for _, _, images in classifier.seen}) > 1


def test_a_photograph_is_sent_when_given(bench, tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (300, 300), (255, 0, 0)).save(path)
    _, _, classifier = bench(*ALONE, "-img", str(path), "-batch", "2")
    assert classifier.seen[0][2].shape == (2, 224, 224, 3)
    assert classifier.seen[0][2][1, 5, 5].tolist() == [255, 0, 0]


def test_mutual_tls_takes_the_reference_s_three_files(bench, tls):
    words = ["-ca", str(tls.ca), "-crt", str(tls.client), "-key", str(tls.client_key)]
    assert bench(*ALONE, mutual=True, tls_words=words)[0] == 0


def test_failures_are_counted_by_code_and_end_nothing(bench):
    status, lines, _ = bench("-cnum", "1", "-loop", "10", classifier=Classifier(fail_every=3))
    assert status == 4
    assert sum(": queue full" in line for line in lines) == 5
    assert lines[-1].endswith("requests 10, errors 4, RESOURCE_EXHAUSTED 4")


def test_a_server_that_is_not_there_is_counted_too(tls, capsys):
    status = main(["bench", "-url", "localhost:1", "-crt", str(tls.server), *ALONE])
    assert status == 4
    out, err = capsys.readouterr()
    assert "errors 1, UNAVAILABLE 1" in out
    assert err.startswith("no request was answered: look at -url (grpc")


def test_an_answer_without_the_output_is_an_error(bench):
    status, lines, _ = bench(*ALONE, "--output", "probabilities")
    assert status == 4
    assert "errors 1, MISSING_OUTPUT 1" in lines[-1]


def test_json_is_one_object(bench):
    status, lines, _ = bench("-cnum", "2", "-loop", "3", "--json")
    numbers = json.loads(lines[0])
    assert (status, len(lines)) == (0, 1)
    assert (numbers["requests"], numbers["errors"], numbers["channel"]) == (6, {}, "secure")
    assert numbers["p50_ms"] <= numbers["p99_ms"]


def test_a_long_answer_is_cut_to_its_first_values_unless_wanted_whole(grpc_server, tls, capsys):
    def predict(data, _context):
        response = messages.PredictResponse()
        response.outputs["predict"].CopyFrom(array_to_tensor(np.arange(1000, dtype=np.float32)[None]))
        return response.SerializeToString()

    words = ["bench", "-url", f"localhost:{grpc_server(predict=predict).port}", "-crt", str(tls.server), *ALONE]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 400
    printed = [ast.literal_eval(line) for line in lines if line.startswith("{")]
    assert printed[0]["outputs"]["predict"]["floatVal"] == [0, 1, 2, 3, 4, 5, "994 more"]
    assert main([*words, "--whole-answer"]) == 0
    printed = [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert printed[0]["outputs"]["predict"]["floatVal"] == list(range(1000))


def test_samples_come_by_request_only(bench):
    _, lines, _ = bench("-cnum", "2", "-loop", "3", "--json")
    assert "latencies_ms" not in json.loads(lines[0])
    _, lines, _ = bench("-cnum", "2", "-loop", "3", "--json", "--samples")
    assert len(json.loads(lines[0])["latencies_ms"]) == 6


def test_lists_make_a_matrix_with_a_summary_for_each_load_and_a_table(bench):
    status, lines, classifier = bench("--connections", "1,2", "--batch", "1..2", "-loop", "3")
    assert status == 0
    summaries = [re.match(r"summary: cnum (\d+), batch (\d+)", line) for line in lines]
    assert [found.groups() for found in summaries if found] == [("1", "1"), ("2", "1"), ("1", "2"), ("2", "2")]
    assert [line.split(" (")[0].split("  ")[0] for line in lines[-3:]] == ["tps / p99(ms)", "batch 1", "batch 2"]
    assert len(classifier.seen) == 2 * (1 + 2) * (1 + 3)  # a warm-up of one request a task


def test_the_edges_of_a_matrix_leave_its_inside_out(bench):
    _, lines, _ = bench("--cnum", "1,2", "--batch", "1,2", "-loop", "1", "--plan", "edges", "--json")
    assert [(run["cnum"], run["batch"]) for run in json.loads(lines[0])["runs"]] == [(1, 1), (2, 1), (1, 2)]


def test_a_load_ends_after_its_seconds_but_not_without_a_request(bench):
    status, lines, _ = bench("-cnum", "2", "--seconds", "0.000001", "--json")
    assert (status, json.loads(lines[0])["requests"]) == (0, 2)


def test_the_report_is_one_html_file(bench, tmp_path):
    path = tmp_path / "report.html"
    assert bench("-cnum", "1,2", "-loop", "2", "--html", str(path))[0] == 0
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "resnet50-v15-fp32" in page
    assert page.count("<svg") == 3


def test_failures_of_a_matrix_are_counted_by_code_for_each_load(bench):
    status, lines, _ = bench("-cnum", "1,2", "-loop", "5", "--json", classifier=Classifier(fail_every=4))
    runs = json.loads(lines[0])["runs"]
    assert status == 4
    assert all(run["errors"].keys() <= {"RESOURCE_EXHAUSTED"} for run in runs)
    assert sum(sum(run["errors"].values()) for run in runs) > 0
    assert [run["requests"] for run in runs] == [5, 10]


class RestClassifier:
    """Answers REST predict requests: one output without its name, or two with theirs."""

    def __init__(self, answer, code=200):
        self.answer, self.code, self.bodies = answer, code, []

    def __call__(self, _handler, body):
        self.bodies.append(json.loads(body))
        return self.code, json.dumps(self.answer).encode()


def over_rest(serve, tls, classifier, *words):
    return main(["bench", "-url", serve(classifier).url, "-crt", str(tls.server), *ALONE, *words])


@pytest.mark.parametrize("outputs", [[[0.5, 0.5]], {"predict": [[0.5]], "logits": [[1.0]]}])
def test_an_https_address_is_measured_over_rest(serve, tls, capsys, outputs):
    classifier = RestClassifier({"outputs": outputs})
    assert over_rest(serve, tls, classifier) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("requests 1, errors 0")
    assert len(classifier.bodies) == 5 + 1
    assert np.array(classifier.bodies[0]["inputs"]["input"]).shape == (1, 224, 224, 3)


def test_refusals_over_rest_are_counted_by_status(serve, tls, capsys):
    assert over_rest(serve, tls, RestClassifier({"error": "queue full"}, 503), "--json") == 4
    assert json.loads(capsys.readouterr().out)["errors"] == {"HTTP_503": 1}


def test_over_rest_an_answer_without_the_output_is_an_error(serve, tls, capsys):
    assert over_rest(serve, tls, RestClassifier({"outputs": {"logits": []}}), "--json") == 4
    assert json.loads(capsys.readouterr().out)["errors"] == {"MISSING_OUTPUT": 1}


def test_over_rest_a_server_that_is_not_there_is_counted_by_our_code(tls, capsys):
    assert main(["bench", "-url", "https://localhost:1", "-crt", str(tls.server), *ALONE, "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["errors"] == {"SR-SERVER-UNREACHABLE": 1}


def test_sv_03_without_certificates_plaintext_is_refused_unless_told(grpc_server, capsys):
    server = grpc_server(predict=Classifier().predict, plain=True)
    words = ["bench", "-url", f"localhost:{server.port}", *ALONE]
    assert main(words) == 3
    assert "SR-PLAINTEXT" in capsys.readouterr().err
    assert main([*words, "--insecure"]) == 0
    assert "query: insecure channel, task 0, batch 1, loop_idx 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [["-batch", "0"], ["-cnum", "0"], ["-cnum", "99999"], ["-loop", "-1"], ["--seconds", "0"], ["-cnum", "1,,2"]],
)
def test_numbers_that_make_no_run_are_misuse(wrong, capsys):
    assert main(["bench", "--insecure", *wrong]) == 1
    assert "SR-MISUSE" in capsys.readouterr().err


def test_a_run_without_end_ends_with_ctrl_c_and_still_sums_up(grpc_server, tls):
    server = grpc_server(predict=Classifier().predict)
    words = ["bench", "-url", f"localhost:{server.port}", "-crt", str(tls.server), "-cnum", "1", "-loop", "0"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "strongroom", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest, errors = running.communicate(timeout=20)
    assert re.fullmatch(r"query: secure channel, task 0, batch 1, latency\(ms\) [\d.]+, tps: [\d.]+\n", first)
    assert "percentiles: p50(ms)" in rest
    assert errors == ""
    assert running.returncode == 0


class Restarting(Classifier):
    """Is away for every second request."""

    count = 0

    def predict(self, data, context):
        self.count += 1
        if self.count % 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return super().predict(data, context)


def test_with_retries_a_request_counts_as_failed_only_when_the_last_try_failed(bench):
    words = ["-cnum", "1", "-loop", "3"]
    status, lines, _ = bench(*words, classifier=Restarting())
    assert status == 4
    assert "UNAVAILABLE" in lines[-1]
    status, lines, _ = bench(*words, "--retries", "2", classifier=Restarting())
    assert status == 0
    assert lines[-1].endswith("requests 3, errors 0")


def test_over_rest_with_retries_an_unavailable_server_is_asked_again(serve, tls, capsys):
    answers = [503, 200] * 9

    def reply(_handler, _body):
        code = answers.pop(0)
        return code, json.dumps({"outputs": [1.0]} if code == 200 else {"error": "busy"}).encode()

    words = ["bench", "-url", serve(reply).url, "-ca", str(tls.ca), *ALONE, "--model", "m", "--retries", "1"]
    assert main(words) == 0
    assert "errors 0" in capsys.readouterr().out.splitlines()[-1]


def test_a_number_of_retries_that_makes_no_sense_is_refused(bench, capsys):
    assert bench(*ALONE, "--retries", "100")[0] == 2
    assert main(["bench", "--insecure", "--retries", "-1"]) == 2
    assert "SR-CLIENT-RETRIES" in capsys.readouterr().err
