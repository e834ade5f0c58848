"""The client of the agent's socket: what it makes of agents that end, lie, or are not there."""

import multiprocessing
import pickle
import signal
import socket
import threading
from contextlib import closing, contextmanager

import pytest

from strongroom.analytics.agent.server import listening
from strongroom.analytics.keys.agent import AgentKeys, AgentNotReached, AgentRefused
from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.agent import Answer, BadAgentFrame, frame
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import BadKeyName, KeyId
from strongroom.secret import Secret


@pytest.fixture
def ring():
    return KeyRing.fresh("people")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.sock"


@contextmanager
def answering(path, *answers):
    """Run an agent that gives these bytes, one after the other, each to the next frame, and then hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_no_agent_is_unreachable(path):
    with pytest.raises(AgentNotReached, match="no agent answers") as refused:
        AgentKeys(path).names()
    assert refused.value.code == "SR-AGENT-UNREACHABLE"


def test_a_path_that_no_socket_can_have_is_said(tmp_path):
    with pytest.raises(AgentNotReached, match="107 bytes"):
        AgentKeys(tmp_path / ("x" * 120)).names()


def test_an_agent_that_starts_again_is_asked_again(path, ring):
    with closing(AgentKeys(path)) as keys:
        for _ in range(2):
            with listening(RingKeys([ring]), path) as server:
                server.start()
                assert keys.names() == ("people",)
        with pytest.raises(AgentNotReached):
            keys.names()


def test_an_agent_that_hangs_up_is_lost(path):
    with answering(path, b""), closing(AgentKeys(path)) as keys, pytest.raises(AgentNotReached):
        keys.names()


def test_a_refusal_that_is_not_known_keeps_its_sentence(path):
    answer = Answer(ok=False, code="SR-OTHER", sentence="the agent sleeps").to_frame()
    with (
        answering(path, answer),
        closing(AgentKeys(path)) as keys,
        pytest.raises(AgentRefused, match="the agent sleeps") as refused,
    ):
        keys.names()
    assert refused.value.code == "SR-AGENT-REFUSED"


LIES = {
    "no-json": b"\0\0\0\2{]",
    "too-long": b"\xff\xff\xff\xff",
    "two-answers": Answer(ok=True).to_frame() * 2,
    "other-fields": frame({"ok": True}),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_what_is_no_answer_is_refused(path, lie):
    with answering(path, lie), closing(AgentKeys(path)) as keys, pytest.raises(BadAgentFrame):
        keys.names()


def test_a_key_that_is_not_base64_is_refused(path):
    lie = Answer(ok=True, data="?").to_frame()
    with answering(path, lie), closing(AgentKeys(path)) as keys, pytest.raises(BadAgentFrame):
        keys.unwrap(KeyId("people", 1), "AAAA")


def test_an_id_that_is_none_is_refused(path):
    lie = Answer(ok=True, data="people").to_frame()
    with answering(path, lie), closing(AgentKeys(path)) as keys, pytest.raises(BadKeyName):
        keys.current("people")


def test_it_travels_as_a_path(path, ring):
    with listening(RingKeys([ring]), path) as server:
        server.start()
        with closing(pickle.loads(pickle.dumps(AgentKeys(path)))) as keys:  # noqa: S301  # our own bytes
            assert keys.names() == ("people",)


def _unwrapped(keys, wrapped, results):
    signal.alarm(60)  # a thread of this process may have held a lock when it was forked
    results.put(keys.unwrap(KeyId("people", 1), wrapped) == Secret(b"k" * 16))


def test_a_forked_worker_has_a_connection_of_its_own(path, ring):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    with listening(RingKeys([ring]), path) as server:
        server.start()
        with closing(AgentKeys(path)) as keys:
            wrapped = keys.wrap(KeyId("people", 1), Secret(b"k" * 16))
            children = [context.Process(target=_unwrapped, args=(keys, wrapped, results)) for _ in range(3)]
            for child in children:
                child.start()
            assert keys.names() == ("people",)
            assert [results.get(timeout=60) for _ in children] == [True] * 3
            for child in children:
                child.join()
