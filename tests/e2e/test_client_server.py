"""The client against the real model server, over both protocols and both kinds of TLS."""

import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from strongroom.cli import main
from strongroom.client import Client, TensorInfo, read_image
from strongroom.client.connection import ClientNotAccepted
from strongroom.client.evidence import NoEvidence
from strongroom.client.status import ModelNotServed, RequestNotAccepted
from strongroom.demo.model import MODEL_NAME, cache_folder, servable
from strongroom.demo.photos import sample_photos
from strongroom.ports import free_ports

READY = re.compile(r"Entering the event loop")


def run(*words, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace, a mutual TLS set, and a running server of the plain model behind it."""
    folder = tmp_path_factory.mktemp("home")
    run("init", cwd=folder)
    run("certs", "two-way", "--server", "localhost", "--client", "client.example", cwd=folder)
    model = servable(cache_folder(os.environ))
    (folder / "models").mkdir()
    (folder / "models" / "1").symlink_to(model)
    return folder


@pytest.fixture(scope="module")
def server(home):
    grpc, rest = free_ports(2)
    words = ["serve", f"--port={grpc}", f"--rest_api_port={rest}", f"--model_name={MODEL_NAME}"]
    words += [f"--model_base_path={home / 'models'}", f"--ssl_config_file={home / 'ssl_configure' / 'ssl.cfg'}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = []
    for line in process.stdout:
        said.append(line)
        if READY.search(line):
            break
    else:
        raise AssertionError("".join(said))
    drain = threading.Thread(target=process.stdout.read)  # so that its log never fills the pipe
    drain.start()
    yield {"rest": f"https://localhost:{rest}", "grpc": f"grpcs://localhost:{grpc}", "port": grpc}
    process.terminate()
    process.wait(30)
    drain.join()
    process.stdout.close()


@pytest.fixture(params=["rest", "grpc"])
def url(request, server):
    return server[request.param]


@pytest.fixture
def files(home):
    ssl = home / "ssl_configure"
    return {"ca": ssl / "ca_cert.pem", "certificate": ssl / "client" / "cert.pem", "key": ssl / "client" / "key.pem"}


@pytest.fixture(scope="module")
def photo():
    return next(each.path for each in sample_photos() if each.path.name == "flower.jpg")


def test_both_protocols_give_the_same_probabilities(server, files, photo):
    image = read_image(photo)
    answers = []
    for protocol in ("rest", "grpc"):
        with Client(server[protocol], **files) as client:
            answers.append(client.predict(MODEL_NAME, {"input": np.concatenate([image, image])}))
    rest, grpc = (answer["predict"] for answer in answers)
    assert rest.shape == grpc.shape == (2, 1000)
    assert rest.dtype == grpc.dtype == np.float32
    assert np.abs(rest - grpc).max() < 1e-6
    assert int(rest[0].argmax()) == 985
    assert answers[1].version == 1


def test_status_and_metadata_come_as_values(url, files):
    with Client(url, **files) as client:
        (version,) = client.status(MODEL_NAME)
        signature = client.metadata(MODEL_NAME).signature("")
    assert (version.version, version.state, version.error_code) == (1, "AVAILABLE", "OK")
    assert signature.inputs == {"input": TensorInfo("DT_FLOAT", (-1, 224, 224, 3))}
    assert signature.outputs == {"predict": TensorInfo("DT_FLOAT", (-1, 1000))}


def test_refusals_keep_tensorflow_serving_s_words(url, files, photo):
    image = read_image(photo)
    with Client(url, **files) as client:
        with pytest.raises(ModelNotServed) as caught:
            client.predict("other", {"input": image})
        assert caught.value.text == "Servable not found for request: Latest(other)"
        with pytest.raises(ModelNotServed) as caught:
            client.predict(MODEL_NAME, {"input": image}, version=7)
        assert caught.value.text == f"Servable not found for request: Specific({MODEL_NAME}, 7)"
        with pytest.raises(RequestNotAccepted):
            client.predict(MODEL_NAME, {"input": image}, signature_name="other")
        with pytest.raises(RequestNotAccepted):
            client.predict(MODEL_NAME, {"input": image[:, :10]})
        assert client.predict(MODEL_NAME, {"input": image})["predict"].shape == (1, 1000)


def test_without_its_certificate_the_client_is_not_accepted(url, files):
    with Client(url, ca=files["ca"]) as client, pytest.raises(ClientNotAccepted):
        client.metadata(MODEL_NAME)


def test_fb_11_a_server_outside_a_tee_has_no_evidence_and_gets_no_photograph(server, files, photo, tmp_path):
    (tmp_path / "policy.toml").write_text("version = 1\n", encoding="utf-8")
    with Client(server["rest"], trust=tmp_path, **files) as client, pytest.raises(NoEvidence):
        client.predict(MODEL_NAME, {"input": read_image(photo)})


def words_of(files):
    return ["-ca", str(files["ca"]), "-crt", str(files["certificate"]), "-key", str(files["key"])]


def test_bench_measures_it_with_the_reference_client_s_flags(server, files, photo, capsys):
    words = [
        "bench",
        "-url",
        f"localhost:{server['port']}",
        *words_of(files),
        "-cnum",
        "2",
        "-loop",
        "3",
        "-batch",
        "2",
    ]
    assert main([*words, "--model", MODEL_NAME, "-img", str(photo)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("query: secure channel, task ") for line in lines) == 2 * 5 + 2 * 3
    assert sum(line.startswith("summary: cnum 2, batch 2, e2e time(s) ") for line in lines) == 2
    assert "errors 0" in lines[-1]
    assert main([*words, "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["errors"] == {"NOT_FOUND": 6}


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_bench_measures_a_matrix_and_writes_a_report(  # noqa: PLR0917  # fixtures
    server, files, photo, capsys, tmp_path, protocol
):
    report = tmp_path / "report.html"
    words = ["bench", "-url", server[protocol], *words_of(files), "--model", MODEL_NAME, "-img", str(photo)]
    words += ["--connections", "1,2", "--batch", "1..2", "-loop", "2", "--html", str(report), "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    runs = json.loads(said.out)["runs"]
    assert [(run["cnum"], run["batch"]) for run in runs] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert all(run["errors"] == {} and run["requests"] == 2 * run["cnum"] for run in runs)
    assert all(0 < run["p50_ms"] <= run["p99_ms"] and run["tps"] > 0 for run in runs)
    assert said.err.splitlines()[-1] == "load 4 of 4: 2 tasks, batch 2"
    page = report.read_text(encoding="utf-8")
    assert page.count("<svg") == 6
    assert "mutual TLS" in page


def test_predict_names_the_classes(server, files, photo, capsys):
    channel = [word.replace("-", "--", 1) if word.startswith("-") else word for word in words_of(files)]
    asked = ["--model", MODEL_NAME, "--image", str(photo), "--labels", "imagenet", *channel]
    assert main(["predict", "--url", server["rest"], *asked]) == 0
    assert "   32.7 %  daisy" in capsys.readouterr().out
    assert main(["predict", "--url", server["grpc"], *asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["classes"][0]["index"] == 985
