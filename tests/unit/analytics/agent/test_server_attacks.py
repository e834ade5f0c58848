"""What processes do to the agent's socket that want it gone, busy, or talkative; and agents in place of another."""

import errno
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest

from strongroom.analytics.agent import server
from strongroom.analytics.agent.server import AgentServer, answer, listening
from strongroom.analytics.keys.agent import AgentKeys, AgentNotReached, AgentOfAnother
from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.agent import Answer, Frames, Op, Request
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.names import KeyId
from strongroom.pki.disk import LoosePermissions
from strongroom.secret import Secret

NOBODY = 65534
NAMES = Request(Op.NAMES).to_frame()
ID = KeyId("people", 1)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def asked(connection, frame=NAMES):
    """Ask over a connection; return the answer."""
    connection.sendall(frame)
    frames = Frames()
    while True:
        data = connection.recv(65536)
        if not data:
            raise ConnectionResetError
        if found := frames.feed(data):
            return Answer.parse(found[0])


def nobodys(program, *words):
    """Return the command of a program that becomes another user before it does anything."""
    becoming = f"import os, socket, sys\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    return [sys.executable, "-I", "-S", "-c", becoming + program, *map(str, words)]


def as_nobody(program, *words):
    """Run a program as another user; return what it printed."""
    return subprocess.run(nobodys(program, *words), capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def descriptors(count):
    """Let this process have so many descriptors at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def next_descriptor():
    """Return the number that the next file would have."""
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


ASK = """
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect(sys.argv[1])
    connection.sendall(bytes.fromhex(sys.argv[2]))
    print(len(connection.recv(100)))
except OSError as problem:
    print(type(problem).__name__)
"""


@pytest.fixture
def open_to_all(agent, tmp_path):
    """Let everybody reach the socket, as it never is, so that what is left is what the agent itself looks at."""
    agent.path.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    return agent


@as_root
def test_another_user_gets_nothing_even_where_the_socket_is_open_to_all(open_to_all):
    assert as_nobody(ASK, open_to_all.path, NAMES.hex()) in {"0", "BrokenPipeError", "ConnectionResetError"}
    open_to_all.path.chmod(0o600)
    assert as_nobody(ASK, open_to_all.path, NAMES.hex()) == "PermissionError"
    with open_to_all.connect() as connection:
        assert asked(connection).ok


FLOOD = """
kept = []
for _ in range(200):
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(sys.argv[1])
    except OSError:
        continue
    kept.append(connection)
print(len(kept))
"""


@as_root
def test_another_users_flood_takes_nobodys_place_and_is_told_once(open_to_all, monkeypatch, caplog):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    with open_to_all.connect() as first, open_to_all.connect() as second:
        assert asked(first).ok
        assert asked(second).ok
        assert int(as_nobody(FLOOD, open_to_all.path)) > 100
        assert asked(first).ok
        assert asked(second).ok
    assert len([each for each in caplog.records if "turned away" in each.message]) == 1


def test_who_is_idle_longest_makes_room_and_may_come_again(agent, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    keys = AgentKeys(agent.path)
    wrapped = keys.wrap(ID, Secret(b"k" * 16))
    with ExitStack() as stack:
        for number in range(40):  # none of them says anything whole
            connection = stack.enter_context(agent.connect())
            connection.sendall(NAMES[: number % len(NAMES)])
            if number % 10 == 9:
                keys.close()  # and comes in anew, where all places are taken
                assert keys.unwrap(ID, wrapped) == Secret(b"k" * 16)
        assert len(agent.server._open) <= 8  # nobody else counts them
    keys.close()


def test_who_comes_while_many_wait_queues_and_is_answered(keys, tmp_path):
    """A connection in the backlog is no reason to say that there is no agent."""
    with listening(keys, tmp_path / "s") as agent, ExitStack() as stack:
        for _ in range(server.BACKLOG + 1):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "s"))
        client = stack.enter_context(closing(AgentKeys(tmp_path / "s")))
        found = []
        thread = threading.Thread(target=lambda: found.append(client.names()))
        thread.start()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            with pytest.raises(BlockingIOError):  # it is full
                probe.connect(str(tmp_path / "s"))
        agent.start()
        thread.join()
    assert found == [("cities", "people")]


def test_who_is_being_answered_stays(agent, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    with agent.connect() as busy:
        for _ in range(20):
            assert asked(busy).ok
            with agent.connect() as other:
                assert asked(other).ok


FEW = """
import resource, socket, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from strongroom.analytics.agent.server import listening
from strongroom.analytics.keys.rings import RingKeys
from strongroom.datasets.key_ring import KeyRing

class Asking(RingKeys):
    def current(self, name):
        for each in [open("/dev/null") for _ in range(16)]:  # as a session with a broker does
            each.close()
        return super().current(name)

with listening(Asking([KeyRing.fresh("people")]), Path(sys.argv[1])) as agent:
    agent.start()
    print("answers", flush=True)
    sys.stdin.read()
"""


def test_a_flood_leaves_descriptors_for_the_agent_itself(tmp_path):
    """A lease that cannot be renewed because others hold all descriptors would take the keys from everybody."""
    command = [sys.executable, "-c", FEW, str(tmp_path / "s")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "answers\n"
        with ExitStack() as stack, closing(AgentKeys(tmp_path / "s")) as keys:
            for _ in range(200):
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(tmp_path / "s"))
            assert keys.current("people") == ID
        program.stdin.close()
        assert program.wait() == 0


class Counting(socket.socket):
    """A listener that knows how often it was asked."""

    accepts = 0
    three = threading.Event()

    def accept(self):
        """Count, then accept."""
        type(self).accepts += 1
        if type(self).accepts == 3:
            self.three.set()
        return super().accept()


def test_without_descriptors_it_waits_and_comes_back(keys, tmp_path):
    with Counting(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        agent = AgentServer(keys, listener, lambda _use, _times: None)
        client.settimeout(30)
        began = time.monotonic()
        with descriptors(next_descriptor()):
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                os.dup(0)
            client.connect(str(tmp_path / "s"))
            agent.start()
            assert Counting.three.wait(30)
            assert Counting.accepts <= (time.monotonic() - began) / server.PAUSE_S + 2  # it does not spin
        assert asked(client).ok
        agent.close()


def test_without_threads_one_is_hung_up_on_and_the_next_is_answered(agent):
    before = threading.stack_size(1 << 60)  # beyond every address: 1 << 46 is given where memory is overcommitted
    try:
        with agent.connect() as refused:
            assert refused.recv(1) == b""
    finally:
        threading.stack_size(before)
    with agent.connect() as connection:
        assert asked(connection).ok
    agent.server.close()
    assert not agent.server._open  # nobody else counts them


def say_for_ever(connection):
    """Ask, and never hear an answer."""
    while True:
        connection.send(NAMES * 100)


def test_one_who_never_reads_is_alone_with_it_and_holds_up_no_end(agent):
    with agent.connect() as deaf, agent.connect() as other:
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            say_for_ever(deaf)
        assert asked(other).ok
        agent.server.close()
    assert not [each for each in threading.enumerate() if each.name == "key agent"]


def test_thousands_of_questions_at_once_are_answered_in_their_order(agent):
    keys = AgentKeys(agent.path)
    wrapped = keys.wrap(ID, Secret(bytes(range(16))))
    questions = b"".join(Request(Op.UNWRAP, "people.1", wrapped).to_frame() + NAMES for _ in range(2000))
    with agent.connect() as connection:
        thread = threading.Thread(target=connection.sendall, args=(questions,))
        thread.start()
        frames, found = Frames(), []
        while len(found) < 4000:
            found += [Answer.parse(each) for each in frames.feed(connection.recv(65536))]
        thread.join()
    keys.close()
    assert {each.data for each in found[1::2]} == {"cities people"}
    assert len({each.data for each in found[::2]}) == 1


def test_more_names_than_a_frame_holds_are_an_answer(tmp_path):
    many = RingKeys([KeyRing.fresh(f"{'n' * 40}{number:04}") for number in range(500)])
    found = answer(many, Request(Op.NAMES))
    assert (found.ok, found.code) == (False, "SR-AGENT-FRAME")
    with listening(many, tmp_path / "s") as agent:
        agent.start()
        keys = AgentKeys(tmp_path / "s")
        assert keys.current(f"{'n' * 40}0007").version == 1
        keys.close()


def test_a_refusal_says_no_more_of_a_key_that_is_not_granted_than_of_one_that_is_not_there(keys):
    told = {answer(keys, Request(Op.UNWRAP, f"{name}.1", "A" * 60)).sentence for name in ("pay", "day")}
    assert {each.replace("pay", "day") for each in told} == {"primary key 'day' was not given to this process"}


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_can_enter_is_no_place_for_a_socket(keys, tmp_path, mode):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    folder.chmod(mode)
    with pytest.raises(LoosePermissions), listening(keys, folder / "s"):
        pass
    assert not list(folder.iterdir())


@pytest.mark.parametrize("what", ["file", "link", "socket"])
def test_what_is_at_the_sockets_place_already_is_neither_used_nor_removed(keys, tmp_path, what):
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as before:
        if what == "socket":
            before.bind(str(place))
        elif what == "link":
            place.symlink_to(tmp_path / "elsewhere")
        else:
            place.write_bytes(b"mine")
        with pytest.raises(OSError, match="in use"), listening(keys, place):
            pass
        assert os.path.lexists(place)
        assert not (tmp_path / "elsewhere").exists()


PRETEND = """
listener = socket.socket(socket.AF_UNIX)
os.umask(0)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
connection, _ = listener.accept()
connection.settimeout(30)
print(len(connection.recv(100)), flush=True)
"""


@as_root
def test_another_users_agent_in_place_of_ours_is_told_no_data_key(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for each in (tmp_path, *tmp_path.parents):
        if each.owner() == tmp_path.owner() and not each.stat().st_mode & 0o001:
            each.chmod(0o711)
    os.chown(folder, NOBODY, NOBODY)
    with subprocess.Popen(nobodys(PRETEND, folder / "s"), stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "listening\n"
        keys = AgentKeys(folder / "s")
        with pytest.raises(AgentOfAnother, match=f"user {NOBODY}") as refused:
            keys.wrap(ID, Secret(b"k" * 16))
        assert refused.value.code == "SR-AGENT-OF-ANOTHER"
        assert other.stdout.readline() == "0\n"
    with pytest.raises(AgentNotReached):
        keys.names()
