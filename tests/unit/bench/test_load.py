"""The load client against a real gRPC server: it counts right answers and stops at the first wrong one."""

import concurrent.futures

import grpc
import pytest

from serving.http_load import whole_http
from serving.load import Target, WrongAnswer, ask

MESSAGE = bytes(range(256)) * 20_000  # 5 MB: beyond every window and frame


@pytest.fixture
def target():
    """Return a function that starts a server with a handler and gives what asks it."""
    servers = []

    def start(handler, message, **wanted):
        server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)]
        )
        methods = {"M": grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s.S", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        given = {"check": lambda _answer: None, "connections": 2, "streams": 3, **wanted}
        return Target(port=port, context=None, path="/s.S/M", message=message, **given)

    yield start
    for server in servers:
        server.stop(None).wait()


def test_every_request_is_answered_and_timed_and_the_first_answers_are_checked(target):
    seen, checked = [], []
    asked = target(lambda data, _: seen.append(data) or b"answer", b"question", check=checked.append)
    run = ask(asked, 50)
    assert len(run.latencies_s) == 50
    assert set(seen) == {b"question"}
    assert len(seen) == 50
    assert set(checked) == {b"answer"}


def test_a_body_beyond_the_windows_arrives_whole(target):
    seen = []
    ask(target(lambda data, _: seen.append(data == MESSAGE) or b"", MESSAGE), 6)
    assert seen == [True] * 6


def test_an_answer_in_many_frames_is_checked_whole(target):
    checked = []
    ask(target(lambda *_: MESSAGE, b"", check=checked.append, connections=1), 8)
    assert checked == [MESSAGE]


def test_a_grpc_error_ends_the_run(target):
    def refuse(_data, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model")

    with pytest.raises(WrongAnswer, match="gRPC status b'5' b'no such model'"):
        ask(target(refuse, b""), 10)


def test_a_server_that_is_not_there_is_a_wrong_answer():
    nobody = Target(port=1, context=None, path="/", message=b"", check=lambda _answer: None, connections=1, streams=1)
    with pytest.raises(WrongAnswer, match="no connection"):
        ask(nobody, 1)


def test_an_http_answer_is_whole_when_its_length_is_there():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    assert [whole_http(answer[:size]) for size in (5, len(answer) - 1, len(answer))] == [None, None, len(answer)]
    assert whole_http(answer + b"HTTP/1.1") == len(answer)
    with pytest.raises(WrongAnswer, match="404"):
        whole_http(b"HTTP/1.1 404 Not Found\r\n\r\n")
    with pytest.raises(WrongAnswer, match="without a length"):
        whole_http(b"HTTP/1.1 200 OK\r\n\r\n")
