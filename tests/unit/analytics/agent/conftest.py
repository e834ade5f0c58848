"""What the agent's tests share: primary keys in memory, and connections to a listening agent."""

from __future__ import annotations

import socket

import pytest

from strongroom.analytics.agent.server import listening
from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.key_ring import KeyRing


@pytest.fixture
def keys():
    """Two primary keys."""
    return RingKeys([KeyRing.fresh("people"), KeyRing.fresh("cities")])


@pytest.fixture
def agent(keys, tmp_path):
    """An agent that answers; its socket, what it heard of uses, and how to connect."""

    class Agent:
        path = tmp_path / "a.sock"

        def __init__(self):
            self.uses = []

        def connect(self):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(30)
            connection.connect(str(self.path))
            return connection

    found = Agent()
    with listening(keys, found.path, lambda use, times: found.uses.append((use, times))) as server:
        server.start()
        found.server = server
        yield found
