"""A client with several connections, over both protocols, against real servers that go away and come back."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from strongroom.client import Client, Retries
from strongroom.client.connection import ServerNotTrusted, ServerUnreachable
from strongroom.client.status import RequestNotAccepted, ServerBusy
from strongroom.tfserving import messages
from strongroom.tfserving.tensors import array_to_tensor

X = np.array([1.5], np.float32)


def answer(_data=None, _context=None):
    response = messages.PredictResponse()
    response.outputs["y"].CopyFrom(array_to_tensor(X))
    return response.SerializeToString()


class Failing:
    """Answers a call with a status so often, then with an output; notes the peers' ports."""

    def __init__(self, times, code=grpc.StatusCode.UNAVAILABLE, text=""):
        self.times, self.code, self.text = times, code, text
        self.peers = []
        self._lock = threading.Lock()

    def __call__(self, data, context):
        with self._lock:
            self.peers.append(context.peer())
            failing = len(self.peers) <= self.times
        if failing:
            context.abort(self.code, self.text)
        return answer()


def test_requests_go_round_over_several_grpc_connections(grpc_server, tls):
    failing = Failing(0)
    with Client(grpc_server(predict=failing).url, ca=tls.ca, connections=3) as client:
        for _ in range(9):
            client.predict("m", {"x": X})
    assert sorted(failing.peers.count(peer) for peer in set(failing.peers)) == [3, 3, 3]


def test_requests_go_round_over_several_rest_connections(serve, tls):
    peers = []

    def reply(handler, _body):
        peers.append(handler.client_address)
        return 200, json.dumps({"model_version_status": []}).encode()

    with Client(serve(reply).url, ca=tls.ca, connections=3) as client:
        for _ in range(9):
            client.status("m")
    assert sorted(peers.count(peer) for peer in set(peers)) == [3, 3, 3]


def test_a_connection_ends_with_its_age(grpc_server, tls):
    failing = Failing(0)
    with Client(grpc_server(predict=failing).url, ca=tls.ca, max_age_s=1e-9) as client:
        for _ in range(3):
            client.predict("m", {"x": X})
    assert len(set(failing.peers)) == 3


def test_threads_share_a_client(grpc_server, tls):
    with (
        Client(grpc_server().url, ca=tls.ca, connections=2, max_age_s=0.01) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        outputs = list(threads.map(lambda _: client.predict("m", {"x": X})["y"].tolist(), range(80)))
    assert outputs == [[3.0]] * 80


def test_an_unavailable_server_is_asked_again_on_another_connection_where_the_caller_said_so(grpc_server, tls):
    failing = Failing(2)
    with Client(grpc_server(predict=failing).url, ca=tls.ca, retries=2) as client:
        assert client.predict("m", {"x": X})["y"].tolist() == [1.5]
    assert len(set(failing.peers)) == 3


def test_without_a_word_of_the_caller_only_a_server_that_did_not_begin_is_asked_again(grpc_server, tls):
    failing = Failing(1)
    with Client(grpc_server(predict=failing).url, ca=tls.ca) as client, pytest.raises(ServerBusy):
        client.predict("m", {"x": X})
    assert len(failing.peers) == 1
    stopping = Failing(1, text="the server is stopping")
    with Client(grpc_server(predict=stopping).url, ca=tls.ca) as client:
        client.predict("m", {"x": X})
    assert len(stopping.peers) == 2


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_what_a_server_answered_is_final(grpc_server, tls, code):
    failing = Failing(9, code)
    with (
        Client(grpc_server(predict=failing).url, ca=tls.ca, retries=5) as client,
        pytest.raises((RequestNotAccepted, ServerBusy)),
    ):
        client.predict("m", {"x": X})
    assert len(failing.peers) == 1


def test_the_deadline_bounds_all_tries_together(grpc_server, tls):
    failing = Failing(10**6)
    url = grpc_server(predict=failing).url
    retries = Retries(attempts=100, unknown=True, first_pause_s=0.1, longest_pause_s=0.1, budget=1000)
    with Client(url, ca=tls.ca, retries=retries, timeout_s=2) as client, pytest.raises(ServerBusy):
        client.predict("m", {"x": X})
    assert 1 < len(failing.peers) <= 41  # each pause is at least 0.05 s


def test_a_rest_server_that_is_unavailable_is_asked_again_where_the_caller_said_so(serve, tls):
    answers = [(503, b'{"error": "busy"}'), (200, b'{"model_version_status": []}')]
    server = serve(lambda *_: answers.pop(0))
    with Client(server.url, ca=tls.ca, retries=1) as client:
        assert client.status("m") == ()
    assert len(server.seen) == 2


def test_a_rest_request_that_broke_is_asked_again_only_where_the_caller_said_so(serve, tls):
    def broken():
        answers = [(None, b""), (200, b'{"model_version_status": []}')]
        return serve(lambda *_: answers.pop(0))

    with Client(broken().url, ca=tls.ca, retries=1) as client:
        assert client.status("m") == ()
    server = broken()
    with Client(server.url, ca=tls.ca) as client, pytest.raises(ServerUnreachable):
        client.status("m")
    assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_a_server_that_is_not_trusted_is_not_asked_again(serve, grpc_server, tls, kind):
    url = grpc_server().url if kind == "grpc" else serve(lambda *_: (200, b"{}")).url
    retries = Retries(attempts=100, unknown=True, first_pause_s=60, longest_pause_s=60)
    with Client(url, ca=tls.stranger_ca, retries=retries) as client, pytest.raises(ServerNotTrusted):
        client.status("m")


@pytest.mark.parametrize("protocol", ["grpcs", "https"])
def test_a_closed_client_says_so_or_connects_anew(grpc_server, serve, tls, protocol):
    url = grpc_server().url if protocol == "grpcs" else serve(lambda *_: (200, b'{"model_version_status": []}')).url
    client = Client(url, ca=tls.ca)
    client.status("m")
    client.close()
    client.status("m")
    client.close()
