"""Other people's clients: a process like the reference solution's client, curl as in the guides, grpclib.

The servers are started with the reference solution's command line and the certificates that `strongroom certs` writes.
"""

import ast
import asyncio
import gzip
import importlib.util
import json
import re
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import grpc
import grpclib.client
import numpy as np
import pytest
from grpclib.exceptions import GRPCError

from strongroom.pki import SslConfig
from strongroom.secret import Secret

CLIENT = Path(__file__).with_name("image_client.py")
MODEL_SERVER = ("-m", "strongroom.cli.model_server")
RESNET = "resnet50-v15-fp32"
LIMIT_S = 120
REFERENCE_FLAGS = (  # of the reference solution's serving image
    "--enable_model_warmup=true", "--flush_filesystem_caches=false", "--enable_batching=false",
    "--rest_api_num_threads=64", "--tensorflow_session_parallelism=0", "--tensorflow_intra_op_parallelism=2",
    "--tensorflow_inter_op_parallelism=2", "--file_system_poll_wait_seconds=5",
)  # fmt: skip
with_stubs = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_serving") is None, reason="Google's stubs are not installed"
)
with_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def run(*words, cwd=None, status=0, data=None):
    """Run a program; return what it printed. `status` None: it must fail."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, input=data, timeout=LIMIT_S, check=False)
    fits = done.returncode == status if status is not None else done.returncode > 0
    assert fits, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    """An owner's folder with `ssl_configure` for mutual TLS and `one_way`, as the commands write them."""
    folder = tmp_path_factory.mktemp("owner")
    strongroom = (sys.executable, "-m", "strongroom")
    run(*strongroom, "init", cwd=folder)
    names = ("--server", "grpc.tf-serving.service.com", "--server", "localhost")
    run(*strongroom, "certs", "two-way", *names, "--client", "client.tf-serving.service.com", cwd=folder)
    run(*strongroom, "certs", "one-way", *names, "--out", "one_way", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def model_config(tmp_path_factory, models):
    folder, entries = tmp_path_factory.mktemp("models"), []
    for name, model in ((RESNET, models.image_classifier()), ("half_plus_two", models.half_plus(2, ["batch"]))):
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.onnx").write_bytes(model)
        entries.append(f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}')
    (folder / "models.config").write_text(f"model_config_list {{ {' '.join(entries)} }}")
    return folder / "models.config"


@pytest.fixture(scope="module")
def serve(launcher, owner, model_config):
    """Start a server with the reference solution's flags, once for each front and kind of TLS."""
    started = {}

    def start(front, config):
        if (front, config) not in started:
            words = (f"--model_config_file={model_config}", f"--rpc={front}", f"--ssl_config_file={config}")
            server = launcher("", *REFERENCE_FLAGS, *words, command=MODEL_SERVER, with_tls=False)
            started[front, config] = server.wait_ready()
        return started[front, config]

    yield lambda front, way: start(front, owner / {"two-way": "ssl_configure", "one-way": "one_way"}[way] / "ssl.cfg")
    for server in started.values():
        status, _, log = server.end()
        assert status == 0, log
        assert "Traceback" not in log, log


def certificates(owner, way):
    """Return the flags that the reference client is given, by its guide."""
    if way == "one-way":
        return ["-crt", owner / "one_way/server/cert.pem"]
    files = owner / "ssl_configure"
    return ["-ca", files / "ca_cert.pem", "-crt", files / "client/cert.pem", "-key", files / "client/key.pem"]


def shape_of(output):
    """Return the query and summary lines with their numbers left out, and the dictionaries that were printed."""
    lines = output.splitlines()
    said = [re.sub(r"[\d.e-]*\d", "#", line) for line in lines if line.startswith(("query: ", "summary: "))]
    return sorted(said), [ast.literal_eval(line) for line in lines if line.startswith("{")]


@with_stubs
@pytest.mark.parametrize(("front", "way"), [("fast", "two-way"), ("grpcio", "one-way")])
def test_a_client_like_the_reference_runs_and_bench_says_the_same(serve, owner, front, way):
    server = serve(front, way)
    words = ["-url", f"localhost:{server.ports[0]}", "-batch", "2", "-cnum", "3", "-loop", "4"]
    words += certificates(owner, way)
    theirs, answers = shape_of(run(sys.executable, CLIENT, *words))
    ours, first = shape_of(run(sys.executable, "-m", "strongroom", "bench", *words, "--whole-answer"))
    assert theirs == ours
    assert len(theirs) == 3 * (5 + 4) + 2
    for printed in (*answers, *first):
        tensor = printed["outputs"]["predict"]
        assert (tensor["dtype"], tensor["tensorShape"]) == ("DT_FLOAT", {"dim": [{"size": "2"}, {"size": "1001"}]})
        assert np.array(tensor["floatVal"]).reshape(2, 1001).sum(1) == pytest.approx([1, 1], abs=1e-4)
        assert printed["modelSpec"] == {"name": RESNET, "version": "1", "signatureName": "serving_default"}


@pytest.mark.parametrize("front", ["fast", "grpcio"])
@pytest.mark.parametrize("way", ["two-way", "one-way"])
def test_bench_takes_the_words_of_the_reference_guide(serve, owner, front, way):
    words = ["-batch", "1", "-cnum", "1", "-loop", "10", *certificates(owner, way), "--json"]
    server = serve(front, way)
    url = f"localhost:{server.ports[0]}"
    told = json.loads(run(sys.executable, "-m", "strongroom", "bench", "-url", url, *words))
    assert (told["requests"], told["errors"]) == (10, {})


@with_stubs
@pytest.mark.parametrize("front", ["fast", "grpcio"])
def test_a_one_way_tree_of_old_is_served_as_it_is(launcher, base, published, tmp_path, front):
    """The reference's script makes a self-signed certificate with a common name alone; ssl.cfg escapes its lines."""
    base.put(1)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/CN=localhost",
        "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem")  # fmt: skip
    key, certificate = (tmp_path / "key.pem").read_bytes(), (tmp_path / "cert.pem").read_bytes()
    config = SslConfig(server_key=Secret(key), server_cert=certificate, custom_ca=b"", client_verify=False)
    with config.render().reveal() as text:
        (tmp_path / "ssl.cfg").write_bytes(text)
    words = (f"--ssl_config_file={tmp_path / 'ssl.cfg'}", f"--rpc={front}")
    server = launcher(base.folder, *words, command=MODEL_SERVER, with_tls=False).wait_ready()
    credentials = grpc.ssl_channel_credentials(root_certificates=certificate)
    with grpc.secure_channel(f"localhost:{server.ports[0]}", credentials) as channel:
        answer = published.of(channel).prediction.Predict(half_plus_two(published, 2.0, name="default"), timeout=60)
    assert published.tf.make_ndarray(answer.outputs["y"]).tolist() == [3.0]


def half_plus_two(published, *values, name="half_plus_two"):
    request = published.predict.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(published.tf.make_tensor_proto(np.float32(values)))
    return request


@with_stubs
@pytest.mark.parametrize("front", ["fast", "grpcio"])
def test_grpclib_is_answered_with_the_published_messages(serve, owner, published, front):
    server, files = serve(front, "two-way"), owner / "ssl_configure"
    context = ssl.create_default_context(cafile=files / "ca_cert.pem")
    context.load_cert_chain(files / "client/cert.pem", files / "client/key.pem")
    context.set_alpn_protocols(["h2"])
    path, answer_type = "/tensorflow.serving.PredictionService/Predict", published.predict.PredictResponse

    async def ask():
        channel = grpclib.client.Channel("localhost", server.ports[0], ssl=context)
        method = grpclib.client.UnaryUnaryMethod(channel, path, published.predict.PredictRequest, answer_type)
        try:
            calls = [method(half_plus_two(published, number), timeout=60) for number in range(150)]
            answers = await asyncio.gather(*calls)
            large = await method(half_plus_two(published, *[2.0] * 1_500_000), timeout=60)
            with pytest.raises(GRPCError) as caught:
                await method(half_plus_two(published, 2.0, name="nobody"), timeout=60)
            return answers, large, caught.value
        finally:
            transport = channel._protocol.connection._transport
            channel.close()  # which waits for the peer, up to half a minute
            transport.abort()

    answers, large, refused = asyncio.run(ask())
    assert [answer.outputs["y"].float_val[0] for answer in answers] == [number / 2 + 2 for number in range(150)]
    assert set(large.outputs["y"].float_val) == {3.0}
    assert (refused.status.name, refused.message) == ("NOT_FOUND", "Servable not found for request: Latest(nobody)")


# curl, with the lines of TensorFlow Serving's guide, https for http.


@pytest.fixture(params=["fast", "grpcio"])
def curl(request, serve, owner):
    """Run curl on a path of the REST port; it has `base`, the URL before it."""
    server, files = serve(request.param, "two-way"), owner / "ssl_configure"
    tls = ["--cacert", files / "ca_cert.pem", "--cert", files / "client/cert.pem", "--key", files / "client/key.pem"]

    def call(path, *words, trusted=True, scheme="https", **more):
        shown = tls if trusted else tls[:2]
        url = f"{scheme}://localhost:{server.ports[1]}{path}"
        return run("curl", "--silent", "--show-error", "--max-time", "60", *shown, *words, url, **more)

    call.base = f"https://localhost:{server.ports[1]}"
    return call


@with_curl
def test_the_curl_lines_of_the_guide(curl):
    predict = "/v1/models/half_plus_two:predict"
    told = json.loads(curl(predict, "-d", '{"instances": [1.0, 2.0, 5.0]}', "-X", "POST"))
    assert told == {"predictions": [2.5, 3.0, 4.5]}
    for path in ("/v1/models/half_plus_two/versions/1:predict", predict):
        assert json.loads(curl(path, "-d", '{"inputs": {"x": [1, 2]}}')) == {"outputs": [2.5, 3.0]}
    assert json.loads(curl(predict, "-d", '{"signature_name": "serving_default", "instances": [{"x": 1}]}')) == {
        "predictions": [2.5]
    }
    for path in ("/v1/models/half_plus_two", "/v1/models/half_plus_two/versions/1"):
        (row,) = json.loads(curl(path))["model_version_status"]
        assert (row["version"], row["state"]) == ("1", "AVAILABLE")
    metadata = json.loads(curl(f"/v1/models/{RESNET}/metadata", "-X", "GET"))
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["input"]["tensor_shape"]["dim"][1] == {"size": "224", "name": ""}
    head, _, body = curl("/v1/models/half:predict", "-i", "-d", '{"instances": [1.0, 5.0]}').partition("\r\n\r\n")
    assert " 404" in head.splitlines()[0]
    assert "content-type: application/json" in head.lower()
    assert json.loads(body) == {"error": "Servable not found for request: Latest(half)"}


@with_curl
def test_curl_is_answered_whatever_it_speaks(curl, tmp_path):
    predict, body = "/v1/models/half_plus_two:predict", json.dumps({"instances": [2.0] * 200_000}).encode()
    (tmp_path / "body").write_bytes(body)
    (tmp_path / "body.gz").write_bytes(gzip.compress(body))
    several = [
        ["--http1.0", "--data-binary", f"@{tmp_path / 'body'}"],
        ["--http1.1", "--data-binary", f"@{tmp_path / 'body'}"],
        ["--http2", "--data-binary", f"@{tmp_path / 'body'}"],
        ["--http1.1", "-X", "POST", "-T", "-"],  # chunked
        ["--http2", "-X", "POST", "-T", "-"],
        ["-H", "Content-Encoding: gzip", "--data-binary", f"@{tmp_path / 'body.gz'}"],
        ["--compressed", "-H", "Content-Type: application/json; charset=utf-8", "-d", f"@{tmp_path / 'body'}"],
        ["--tlsv1.3", "--data-binary", f"@{tmp_path / 'body'}"],
        ["--tls-max", "1.2", "--data-binary", f"@{tmp_path / 'body'}"],
    ]
    for words in several:
        told = json.loads(curl(predict, *words, data=body if "-" in words else None))
        assert told == {"predictions": [3.0] * 200_000}, words


@with_curl
def test_curl_keeps_its_connection(curl):
    told = curl(
        "/readyz", "-d", '{"instances": [2.0]}', *[f"{curl.base}/v1/models/half_plus_two:predict"] * 5,
        "-o", "/dev/null", "-w", "%{num_connects} ",
    )  # fmt: skip
    assert sum(int(count) for count in re.findall(r"(\d+) ", told)) == 1


@with_curl
def test_curl_without_a_certificate_or_without_tls_gets_nothing(curl):
    for more in ({"trusted": False}, {"scheme": "http"}):
        assert not curl("/v1/models/half_plus_two", status=None, **more)
    assert curl("/v1/models/half_plus_two")
