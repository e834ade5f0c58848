"""The gRPC front over real channels: messages, codes, sizes, peers; grpcio as an independent client."""

import asyncio
import logging

import grpc
import numpy as np
import pytest
from grpc._cython.cygrpc import ExecuteBatchError

from strongroom.serving.engines import EngineOptions
from strongroom.serving.fronts.grpc_front import GrpcFront, GrpcSettings
from strongroom.serving.models.loading import PlainLoader
from strongroom.serving.models.registry import ModelVersions
from strongroom.serving.models.versions import latest, list_versions
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rpc import Rpc
from strongroom.serving.tls import ServerTls
from strongroom.tfserving import (
    GET_MODEL_METADATA,
    GET_MODEL_STATUS,
    PREDICT,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    PredictRequest,
    PredictResponse,
    encode_predict_request,
    signatures_from_any,
    statuses_of,
    tensor_to_array,
)

ANY_SIZE = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture
def front_with(base, on_loop):
    """Serve half_plus_two as `default`; return its port."""
    base.put(123)
    running = []

    async def start(tls, settings):
        model = ModelVersions("default", PlainLoader(EngineOptions(intra_op_threads=1)))
        await model.settle(latest(list_versions(base.folder, model="m").candidates))
        plane = Dataplane(models={"default": model}, accepting=True)
        settings = {"addresses": ["127.0.0.1:0"], "max_message_bytes": 2**31 - 1, **settings}
        rpc = Rpc(plane, outputs_as_content=settings.pop("outputs_as_content", False))
        front = GrpcFront(rpc.methods, GrpcSettings(**settings), tls)
        (port,) = await front.start()
        running.append((front, model))
        return port

    async def stop():
        for front, model in running:
            await front.stop(1)
            await model.close()

    yield lambda tls=None, **settings: on_loop(start(tls, settings))
    on_loop(stop())


@pytest.fixture
def call(front_with):
    """Call a method in clear text."""
    port = front_with()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=ANY_SIZE) as channel:
        yield lambda method, request: channel.unary_unary(method)(request, timeout=20)


def predict_request(*values, model="default"):
    return encode_predict_request({"x": np.array(values, np.float32)}, ModelSpec(name=model))


def answer_of(raw):
    response = PredictResponse.FromString(raw)
    return tensor_to_array(response.outputs["y"]).tolist()


def refusal(call, method, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(method, request)
    return caught.value.code().name, caught.value.details()


def test_predict_answers_in_the_typed_field(call):
    response = PredictResponse.FromString(call(PREDICT, predict_request(2.0)))
    assert list(response.outputs["y"].float_val) == [3.0]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("default", 123, "serving_default")


def test_outputs_come_as_content_where_the_server_was_told_so(front_with):
    port = front_with(outputs_as_content=True)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        response = PredictResponse.FromString(channel.unary_unary(PREDICT)(predict_request(2.0), timeout=20))
    assert response.outputs["y"].tensor_content == np.float32(3).tobytes()
    assert not response.outputs["y"].float_val


def test_a_large_request_is_answered(call):
    values = np.arange(300_000, dtype=np.float32)
    raw = call(PREDICT, encode_predict_request({"x": values}, ModelSpec(name="default")))
    assert answer_of(raw) == (values / 2 + 2).tolist()


def test_metadata_comes_as_an_any(call):
    asked = GetModelMetadataRequest(model_spec=ModelSpec(name="default"), metadata_field=["signature_def"])
    response = GetModelMetadataResponse.FromString(call(GET_MODEL_METADATA, asked.SerializeToString()))
    assert (response.model_spec.name, response.model_spec.version.value) == ("default", 123)
    assert not response.model_spec.signature_name
    assert set(signatures_from_any(response.metadata["signature_def"])) == {"serving_default"}


def test_status_lists_the_version(call):
    asked = GetModelStatusRequest(model_spec=ModelSpec(name="default"))
    response = GetModelStatusResponse.FromString(call(GET_MODEL_STATUS, asked.SerializeToString()))
    assert [(row.version, row.state.name, row.code.name) for row in statuses_of(response)] == [(123, "AVAILABLE", "OK")]


@pytest.mark.parametrize(
    ("method", "request_message", "code", "text"),
    [(PREDICT, PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
     (PREDICT, PredictRequest(model_spec=ModelSpec(name="no")), "NOT_FOUND",
      "Servable not found for request: Latest(no)"),
     (GET_MODEL_METADATA, GetModelMetadataRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
     (GET_MODEL_METADATA, GetModelMetadataRequest(model_spec=ModelSpec(name="no"), metadata_field=["foo"]),
      "INVALID_ARGUMENT", "Metadata field foo is not supported"),
     (GET_MODEL_STATUS, GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
     (GET_MODEL_STATUS, GetModelStatusRequest(model_spec=ModelSpec(name="no")), "NOT_FOUND",
      "Could not find any versions of model no")],
)  # fmt: skip
def test_refusals_have_code_and_text(call, method, request_message, code, text):
    assert refusal(call, method, request_message.SerializeToString()) == (code, text)


def test_long_details_are_cut(call):
    code, text = refusal(call, PREDICT, predict_request(1.0, model="n" * 5000))
    assert code == "NOT_FOUND"
    assert len(text) == 1036
    assert text.endswith("...TRUNCATED")


@pytest.mark.parametrize("method", [PREDICT, GET_MODEL_METADATA, GET_MODEL_STATUS])
@pytest.mark.parametrize("junk", [b"\xff" * 10, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 5000, b"\x12\x01"])
def test_sv_12_malformed_messages_are_one_clean_status_and_the_next_works(call, caplog, method, junk):
    code, text = refusal(call, method, junk)
    assert code == "INVALID_ARGUMENT"
    assert "Traceback" not in text
    assert answer_of(call(PREDICT, predict_request(2.0))) == [3.0]
    assert not caplog.records


def test_a_defect_of_ours_is_one_line_for_the_peer(call, caplog, monkeypatch):
    monkeypatch.setattr(Dataplane, "statuses", lambda self, query: 1 / 0)
    asked = GetModelStatusRequest(model_spec=ModelSpec(name="default")).SerializeToString()
    assert refusal(call, GET_MODEL_STATUS, asked) == ("INTERNAL", "internal error")
    assert "ZeroDivisionError" in caplog.text


def test_sv_12_a_peer_that_leaves_before_its_answer_writes_nothing_into_the_log(front_with, caplog):
    port, request = front_with(), predict_request(2.0)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(PREDICT)
        for _ in range(10):
            calls = [method.future(request, timeout=60) for _ in range(20)]
            calls[10].result()
            for call in calls:
                call.cancel()
        assert answer_of(method(request, timeout=20)) == [3.0]
    library = logging.getLogger("grpc._cython.cygrpc")
    gone, other = ExecuteBatchError(), RuntimeError("another failure")
    for problem in (gone, other):
        library.error("raised", exc_info=problem)
    assert [record.exc_info[1] for record in caplog.records] == [other]


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_sv_12_a_message_beyond_the_limit_is_refused_compressed_or_not(front_with, compression):
    port = front_with(max_message_bytes=1_000_000)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=ANY_SIZE) as channel:
        method = channel.unary_unary(PREDICT)
        assert answer_of(method(predict_request(2.0), timeout=20, compression=compression)) == [3.0]
        zeros = encode_predict_request({"x": np.zeros(10_000_000, np.float32)}, ModelSpec(name="default"))
        with pytest.raises(grpc.RpcError) as caught:
            method(zeros, timeout=60, compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert answer_of(method(predict_request(2.0), timeout=20)) == [3.0]


def test_a_unix_socket_is_served_too(front_with, tmp_path):
    path = tmp_path / "s"
    front_with(addresses=[f"unix:{path}"])
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert answer_of(channel.unary_unary(PREDICT)(predict_request(2.0), timeout=20)) == [3.0]


def test_an_address_that_is_no_address_is_one_error(front_with):
    with pytest.raises(OSError, match="cannot listen"):
        front_with(addresses=["198.51.100.1:80"])


@pytest.mark.parametrize(
    "method",
    ["/tensorflow.serving.SessionService/SessionRun", "/grpc.health.v1.Health/Check",
     "/tensorflow.ProfilerService/Profile", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
     "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/grpc.channelz.v1.Channelz/GetServers"],
)  # fmt: skip
def test_sv_20_nothing_else_is_registered(call, method):
    assert refusal(call, method, b"")[0] == "UNIMPLEMENTED"


def credentials(tls_files, shown):
    pair = [path.read_bytes() for path in shown] if shown else [None, None]
    return grpc.ssl_channel_credentials(tls_files.ca.read_bytes(), pair[1], pair[0])


def over_tls(tls_files, port, shown):
    with grpc.secure_channel(f"localhost:{port}", credentials(tls_files, shown)) as channel:
        return answer_of(channel.unary_unary(PREDICT)(predict_request(2.0), timeout=20))


def test_tls_serves_whoever_has_a_client_certificate(front_with, tls_files):
    port = front_with(ServerTls(tls_files.mutual))
    assert over_tls(tls_files, port, tls_files.client) == [3.0]


def test_one_way_tls_serves_everybody(front_with, tls_files):
    assert over_tls(tls_files, front_with(ServerTls(tls_files.one_way)), None) == [3.0]


@pytest.mark.parametrize("who", ["nobody", "stranger", "server"])
def test_sv_15_others_do_not_get_a_connection(front_with, tls_files, who):
    port = front_with(ServerTls(tls_files.mutual))
    shown = {"nobody": None, "stranger": tls_files.stranger, "server": tls_files.server}[who]
    with pytest.raises(grpc.RpcError) as caught:
        over_tls(tls_files, port, shown)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert over_tls(tls_files, port, tls_files.client) == [3.0]


def test_sv_15_a_client_certificate_without_the_usage_is_told_so(front_with, tls_files, roleless):
    """BoringSSL takes a certificate without any usage; the front does not."""
    port = front_with(ServerTls(tls_files.mutual))
    with pytest.raises(grpc.RpcError) as caught:
        over_tls(tls_files, port, roleless)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "clientAuth" in caught.value.details()


def test_sv_01_a_tls_port_does_not_answer_in_clear(front_with, tls_files):
    port = front_with(ServerTls(tls_files.one_way))
    with grpc.insecure_channel(f"localhost:{port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(PREDICT)(predict_request(2.0), timeout=10)


def test_sv_17_stop_finishes_running_calls_or_fails_them_explicitly(base, on_loop, models):
    async def story():
        base.put(1)
        model = ModelVersions("default", PlainLoader(EngineOptions(intra_op_threads=1)))
        await model.settle(latest(list_versions(base.folder, model="m").candidates))
        settings = GrpcSettings(addresses=["127.0.0.1:0"], max_message_bytes=2**31 - 1)
        front = GrpcFront(Rpc(Dataplane(models={"default": model}, accepting=True)).methods, settings, None)
        (port,) = await front.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=ANY_SIZE) as channel:
            method = channel.unary_unary(PREDICT)
            await method(predict_request(2.0))
            calls = [asyncio.ensure_future(method(predict_request(2.0))) for _ in range(50)]
            await asyncio.sleep(0.002)
            stopping = asyncio.create_task(front.stop(20))
            results = await asyncio.gather(*calls, return_exceptions=True)
            await stopping
        answered = [answer_of(raw) for raw in results if isinstance(raw, bytes)]
        refused = [raw for raw in results if not isinstance(raw, bytes)]
        assert all(answer == [3.0] for answer in answered)
        # What had arrived but was not begun, grpcio's core cancels; either way the caller knows.
        assert {error.code().name for error in refused} <= {"UNAVAILABLE", "CANCELLED"}
        await model.close()

    on_loop(story())
