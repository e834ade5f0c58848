"""The agent's socket: what is answered, to whom, and that nothing takes it down."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from strongroom.analytics.agent import server
from strongroom.analytics.agent.server import Use, answer
from strongroom.analytics.keys.agent import AgentKeys
from strongroom.analytics.keys.service import KeyNotGranted
from strongroom.datasets.agent import Answer, Frames, Op, Request
from strongroom.datasets.names import KeyId
from strongroom.datasets.wrapping import WrappedKeyRefused
from strongroom.secret import Secret

DATA_KEY = Secret(bytes(range(16)))


def ask(connection, request):
    connection.sendall(request.to_frame())
    frames = Frames()
    while True:
        found = frames.feed(connection.recv(65536))
        if found:
            return Answer.parse(found[0])


def test_a_data_key_comes_back_from_what_it_was_wrapped_as(agent):
    keys = AgentKeys(agent.path)
    wrapped = keys.wrap(keys.current("people"), DATA_KEY)
    assert keys.unwrap(keys.current("people"), wrapped) == DATA_KEY
    assert keys.names() == ("cities", "people")
    keys.close()


def test_an_10_a_key_that_was_not_granted_is_an_error(agent):
    keys = AgentKeys(agent.path)
    with pytest.raises(KeyNotGranted):
        keys.current("payroll")
    wrapped = keys.wrap(keys.current("people"), DATA_KEY)
    with pytest.raises(WrappedKeyRefused):
        keys.unwrap(keys.current("cities"), wrapped)
    keys.close()


def test_the_socket_is_its_users_alone(agent):
    assert stat.S_IMODE(agent.path.stat().st_mode) == 0o600


def raise_when_over(connection):
    if not connection.recv(1):
        raise ConnectionResetError


@pytest.mark.parametrize(
    "said", [b"\xff\xff\xff\xff", b"\0\0\0\x02{}", b"\0\0\0\x01\0", b"GET / HTTP/1.1\r\n\r\n"], ids=str
)
def test_one_who_speaks_otherwise_is_hung_up_on_and_others_are_answered(agent, said):
    with agent.connect() as connection:
        connection.sendall(said)
        with pytest.raises(ConnectionResetError):
            raise_when_over(connection)
    with agent.connect() as connection:
        assert ask(connection, Request(Op.NAMES)).data == "cities people"


def test_what_is_wrong_with_a_question_is_the_answer_to_it(keys):
    assert answer(keys, Request(Op.WRAP, "people.1", "no base64!")).code == "SR-AGENT-FRAME"
    assert answer(keys, Request(Op.WRAP, "people.1", "AAAA")).code == "SR-DATA-KEY"
    assert answer(keys, Request(Op.WRAP, "people.9", "AAAAAAAAAAAAAAAAAAAAAA==")).code == "SR-DATA-KEY-VERSION"
    assert answer(keys, Request(Op.UNWRAP, "people", "")).code == "SR-DATA-KEY-NAME"
    assert answer(keys, Request(Op.CURRENT, "payroll")).code == "SR-DATA-KEY-DENIED"


def test_no_answer_has_a_primary_key_in_it(keys):
    told = str([answer(keys, Request(op, "people.1", "")) for op in Op])
    with keys._rings["people"].key(KeyId("people", 1)).reveal() as raw:  # nobody else has it
        assert raw.hex() not in told


def test_uses_are_told_at_a_connections_end_without_keys(agent):
    keys = AgentKeys(agent.path)
    wrapped = keys.wrap(KeyId("people", 1), DATA_KEY)
    keys.unwrap(KeyId("people", 1), wrapped)
    keys.unwrap(KeyId("people", 1), wrapped)
    keys.close()
    agent.server.close()
    program = (os.getpid(), server._program(os.getpid()))  # it is this one
    assert agent.uses == [
        (Use("wrap", "people.1", True, *program), 1), (Use("unwrap", "people.1", True, *program), 2)
    ]  # fmt: skip
    assert wrapped not in str(agent.uses)


def test_at_the_limit_who_is_idle_longest_is_hung_up_on(agent, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    with agent.connect() as first:
        assert ask(first, Request(Op.NAMES)).ok
        with agent.connect() as second:
            assert ask(second, Request(Op.NAMES)).ok
            with pytest.raises(ConnectionResetError):
                raise_when_over(first)


def test_many_processes_and_threads_are_answered_at_once(agent):
    found = []

    def work():
        keys = AgentKeys(agent.path)
        wrapped = keys.wrap(KeyId("people", 1), DATA_KEY)
        found.append(all(keys.unwrap(KeyId("people", 1), wrapped) == DATA_KEY for _ in range(20)))
        keys.close()

    threads = [threading.Thread(target=work) for _ in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [True] * 16


def test_closing_ends_those_who_are_connected_and_removes_the_socket(keys, tmp_path):
    path = tmp_path / "b.sock"
    with server.listening(keys, path) as listening:
        listening.start()
        client = AgentKeys(path)
        assert client.names()
    assert not path.exists()
    assert not [each for each in threading.enumerate() if each.name == "key agent"]
    client.close()
