"""One suite for both protocols: a real gRPC server and a real REST server that know one model."""

import json

import numpy as np
import pytest

from strongroom.client import Client
from strongroom.client.address import PlaintextRefused
from strongroom.client.answers import TensorInfo, UnclearRequest
from strongroom.client.connection import ClientNotAccepted, ServerNotTrusted, ServerUnreachable
from strongroom.client.status import BadAnswer, ModelNotServed, ServerBusy

UNKNOWN = "Servable not found for request: Latest(other)"
DIMENSIONS = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
SIGNATURE = {
    "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": DIMENSIONS}},
    "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": DIMENSIONS}},
    "method_name": "",
}


def rest_model(handler, body):
    if "/models/other" in handler.path:
        return 404, json.dumps({"error": UNKNOWN}).encode()
    if handler.path.endswith(":predict"):
        return 200, json.dumps({"outputs": [2 * each for each in json.loads(body)["inputs"]["x"]]}).encode()
    if handler.path.endswith("/metadata"):
        listed = {"signature_def": {"signature_def": {"serving_default": SIGNATURE}}}
        return 200, json.dumps({"model_spec": {"name": "m", "version": "3"}, "metadata": listed}).encode()
    status = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return 200, json.dumps({"model_version_status": [status]}).encode()


@pytest.fixture(params=["rest", "grpc"])
def start(request, serve, grpc_server):
    """Return a function that starts a server of one protocol."""
    if request.param == "grpc":
        return grpc_server
    return lambda **options: serve(rest_model, **options)


X = np.array([1.5, -2], np.float32)


def test_a_prediction_comes_back_by_name_and_in_its_type(start, tls):
    with Client(start().url, ca=tls.ca) as client:
        outputs = client.predict("m", {"x": X})
    assert outputs["y"].tolist() == [3.0, -4.0]
    assert outputs["y"].dtype == np.float32


def test_a_version_that_was_asked_for_is_the_one_that_ran(start, tls):
    with Client(start().url, ca=tls.ca) as client:
        assert client.predict("m", {"x": X}, version=7).version == 7


def test_status_and_metadata_are_values(start, tls):
    with Client(start().url, ca=tls.ca) as client:
        (status,) = client.status("m")
        metadata = client.metadata("m")
    assert (status.version, status.state, status.error_code) == (3, "AVAILABLE", "OK")
    assert (metadata.name, metadata.version) == ("m", 3)
    assert metadata.signature("").inputs == {"x": TensorInfo("DT_FLOAT", (-1,))}


@pytest.mark.parametrize("call", ["predict", "status", "metadata"])
def test_an_unknown_model_is_a_typed_error_with_the_server_s_words(start, tls, call):
    with Client(start().url, ca=tls.ca) as client, pytest.raises(ModelNotServed) as caught:
        getattr(client, call)("other", *([{"x": X}] if call == "predict" else []))
    assert caught.value.text == UNKNOWN
    assert caught.value.code == "SR-MODEL-NOT-SERVED"


def test_a_server_of_another_ca_is_not_trusted(start, tls):
    with Client(start().url, ca=tls.stranger_ca) as client, pytest.raises(ServerNotTrusted):
        client.metadata("m")


def test_a_certificate_for_another_name_is_not_trusted(start, tls):
    with Client(start().url, ca=tls.ca, server_name="replica.example") as client, pytest.raises(ServerNotTrusted):
        client.metadata("m")


def test_a_pinned_server_certificate_is_enough(start, tls):
    with Client(start().url, pin=tls.server) as client:
        assert client.metadata("m").version == 3


def test_mutual_tls_works_with_and_fails_without_the_certificate(start, tls):
    url = start(mutual=True).url
    with Client(url, ca=tls.ca, certificate=tls.client, key=tls.client_key) as client:
        assert client.metadata("m").version == 3
        assert "client" in dict(client.proof("m").proved())
    with Client(url, ca=tls.ca) as client, pytest.raises(ClientNotAccepted):
        client.metadata("m")


def test_sv_03_plaintext_needs_a_word_and_proves_nothing(start, tls):
    url = start(plain=True).url
    with pytest.raises(PlaintextRefused):
        Client(url)
    with Client(url, insecure=True) as client:
        assert client.predict("m", {"x": X})["y"].tolist() == [3.0, -4.0]
        proof = client.proof("m")
    assert proof.proved() == ()
    assert "PLAINTEXT" in dict(proof.not_proved())["CHANNEL"]


def test_without_a_trust_folder_the_proof_says_that_no_program_was_proved(start, tls):
    with Client(start().url, ca=tls.ca) as client:
        client.metadata("m")
        proof = client.proof("m")
        assert "CN=Test CA" in dict(proof.proved())["server"]
        assert "no evidence was asked for" in dict(proof.not_proved())["program"]
        with pytest.raises(UnclearRequest):
            client.evidence("m")


def test_a_server_that_is_gone_is_unreachable(start, tls):
    server = start()
    url = server.url.replace(str(server.port), "1")
    with Client(url, ca=tls.ca, timeout_s=5) as client, pytest.raises(ServerUnreachable):
        client.metadata("m")


def test_a_grpc_server_that_is_slow_ends_at_the_deadline(grpc_server, tls):
    import threading

    release = threading.Event()
    server = grpc_server(predict=lambda *_: release.wait(10) and b"")
    try:
        with Client(server.url, ca=tls.ca, timeout_s=0.3) as client, pytest.raises(ServerBusy, match="DEADLINE"):
            client.predict("m", {"x": X})
    finally:
        release.set()


@pytest.mark.parametrize("answer", [b"\xff", b"\x0a\x05\x0a\x01y\x12\x00"])
def test_a_grpc_answer_that_is_no_prediction_is_refused(grpc_server, tls, answer):
    with Client(grpc_server(predict=lambda *_: answer).url, ca=tls.ca) as client, pytest.raises(BadAnswer):
        client.predict("m", {"x": X})


@pytest.mark.parametrize("options", [{"trust": "."}, {"evidence_url": "grpcs://x:1"}, {"evidence_url": "https://x"}])
def test_options_that_make_no_sense_together_are_refused(tls, tmp_path, options):
    from strongroom.errors import StrongroomError

    url = "grpcs://x:1" if options.get("evidence_url", "").startswith("grpcs") else "https://x:1"
    with pytest.raises(StrongroomError):
        Client(url, ca=tls.ca, **{key: tmp_path if key == "trust" else value for key, value in options.items()})
