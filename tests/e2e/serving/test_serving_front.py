"""The fast front end as a process: drain under load over gRPC, memory under many large bodies, several processes."""

import asyncio
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import grpc
import h2.connection
import h2.events
import h2.exceptions
import numpy as np
import pytest

from strongroom.tfserving import PREDICT, ModelSpec, PredictResponse, encode_predict_request, tensor_to_array

MONITORING = "prometheus_config { enable: true }"
METRICS = "/monitoring/prometheus/metrics"
LIMIT_S = 60


def request(array):
    return encode_predict_request({"x": array.astype(np.float32)}, ModelSpec(name="default"))


def answer(raw):
    return tensor_to_array(PredictResponse.FromString(raw).outputs["y"])


@pytest.mark.parametrize("rpc", ["fast", "grpcio"])
def test_sv_17_sigterm_with_grpc_calls_under_way_answers_them_all(launcher, base, models, rpc):
    base.put(1, models.slow())
    server = launcher(base.folder, f"--rpc={rpc}", "--tensorflow_intra_op_parallelism=1").wait_ready()
    with server.channel() as channel:
        call = channel.unary_unary(PREDICT)
        calls = [call.future(request(np.eye(300)), timeout=LIMIT_S) for _ in range(4)]
        assert answer(calls[0].result()).shape == (300, 300)  # the others wait for the engine
        server.process.send_signal(signal.SIGTERM)
        for each in calls[1:]:
            assert answer(each.result()).shape == (300, 300)
        assert server.process.wait(LIMIT_S) == 0
    assert server.end(0)[0] == 0


def test_health_reflection_and_one_port_are_offered_when_asked_for(launcher, base):
    base.put(1)
    server = launcher(
        base.folder, "--one_port", "--enable_grpc_healthcheck_service", "--enable_reflection"
    ).wait_ready()
    with server.channel() as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=LIMIT_S) == b"\x08\x01"
        listed = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        (found,) = listed(iter([b"\x3a\x01*"]), timeout=LIMIT_S)
        assert b"tensorflow.serving.PredictionService" in found
    server.ports = (server.ports[0], server.ports[0])
    assert server.predict(2.0) == [3.0]


def test_health_and_reflection_are_off_by_default(launcher, base):
    base.put(1)
    server = launcher(base.folder).wait_ready()
    with server.channel() as channel:
        for path in ("/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(b"", timeout=LIMIT_S)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


async def send_large(port, size):
    """Send one call with a message of `size` bytes as fast as windows allow; return its gRPC status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    peer = h2.connection.H2Connection()
    peer.initiate_connection()
    peer.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", PREDICT), (":authority", "a"),
                          ("te", "trailers"), ("content-type", "application/grpc")])  # fmt: skip
    rest, status = struct.pack(">BI", 0, size) + bytes(size), None
    try:
        while status is None:
            while rest and (room := min(peer.local_flow_control_window(1), peer.max_outbound_frame_size, len(rest))):
                peer.send_data(1, rest[:room], end_stream=room == len(rest))
                rest = rest[room:]
                writer.write(peer.data_to_send())
                await writer.drain()
            writer.write(peer.data_to_send())
            for event in peer.receive_data(await reader.read(65536) or b"\0" * 9):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    status = dict(event.headers).get(b"grpc-status")
    except (OSError, h2.exceptions.ProtocolError):
        status = b"ended"
    writer.close()
    return status


def test_sv_12_memory_stays_bounded_under_many_large_bodies(launcher, base):
    base.put(1)
    size, count, limit = 8 * 1024 * 1024, 64, 32 * 1024 * 1024
    server = launcher(base.folder, "--insecure", f"--max_held_bytes={limit}", with_tls=False).wait_ready()
    before = peak_kib(server.process.pid)

    async def scene():
        return await asyncio.gather(*(send_large(server.ports[0], size) for _ in range(count)))

    statuses = asyncio.run(scene())
    # No PredictRequest, refused for want of memory, or (on a slow machine) too late.
    assert set(statuses) <= {b"3", b"8", b"4", b"ended"}
    assert b"8" in statuses
    grown = (peak_kib(server.process.pid) - before) * 1024
    assert grown < 2 * limit + count * 300 * 1024, f"{grown} bytes more"
    with grpc.insecure_channel(f"127.0.0.1:{server.ports[0]}") as channel:
        assert answer(channel.unary_unary(PREDICT)(request(np.ones(1)), timeout=LIMIT_S)).tolist() == [2.5]


def counted(server):
    text = server.rest("GET", METRICS)[2].decode()
    found = re.search(r'request_count\{model_name="default",status="OK"\} (\d+)', text)
    return int(found[1]) if found else 0


def children(server):
    pid = server.process.pid
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition):
    ends = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_several_processes_are_one_server(launcher, base, tmp_path):
    base.put(1)
    (tmp_path / "monitoring.cfg").write_text(MONITORING)
    server = launcher(base.folder, "--processes=2", f"--monitoring_config_file={tmp_path / 'monitoring.cfg'}")
    server.wait_for(r"(?s)Entering the event loop.*Entering the event loop")
    for _ in range(10):
        with server.channel(**{"grpc.use_local_subchannel_pool": 1}) as channel:
            assert answer(channel.unary_unary(PREDICT)(request(np.ones(1)), timeout=LIMIT_S)).tolist() == [2.5]
    assert [counted(server) for _ in range(6)] == [10] * 6  # whichever process is asked
    os.kill(children(server)[0], signal.SIGKILL)
    server.wait_for(r"ended with status 137; another takes its place")
    wait_for(lambda: server.log.count("Entering the event loop") == 3)
    for _ in range(6):
        assert server.predict(2.0) == [3.0]
    status, _, log = server.end()
    assert status == 0, log
    assert log.count("stopped") == 2


def test_a_start_that_fails_in_a_child_ends_the_server(tmp_path):
    words = ["serve", "--processes=2", "--port=1", "--insecure", f"--model_base_path={tmp_path}",
             "--model_config_file=/no/such/file"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", *words], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode not in {0, 1}
    assert "/no/such/file" in done.stderr
