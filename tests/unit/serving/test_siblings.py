"""Processes that share a port: what they tell each other, and what a parent does with them."""

import asyncio
import signal
import socket
import stat
import sys
from types import SimpleNamespace

import pytest

from strongroom.serving.fronts.rest_front import Answer
from strongroom.serving.http1 import Request
from strongroom.serving.operations.metrics import Metrics
from strongroom.serving.operations.processes import Parent
from strongroom.serving.operations.siblings import (
    FOLDER,
    MAX_CONFIG_BYTES,
    NUMBER,
    Place,
    SiblingFailed,
    Siblings,
    SummingRoutes,
)
from strongroom.serving.status import BadRequest
from strongroom.tfserving import messages
from strongroom.tfserving.codes import Code

PATH = "/monitoring/prometheus/metrics"


class Models:
    """A reloader that remembers, or refuses."""

    def __init__(self):
        self.taken, self.refuses = [], False

    async def reload(self, config):
        if self.refuses:
            raise BadRequest("not this one")
        self.taken.append(config.model_config_list.config[0].name)


@pytest.fixture
def family(on_loop, tmp_path):
    """Start siblings at numbers; they stop with the test."""
    started = []

    async def start(number):
        metrics, models = Metrics(), Models()
        metrics.set_models(["m"])
        siblings = Siblings(Place(tmp_path, number), metrics=metrics, reloader=models)
        await siblings.start()
        started.append(siblings)
        return SimpleNamespace(metrics=metrics, models=models, siblings=siblings)

    yield lambda number: on_loop(start(number))

    async def stop():
        for each in started:
            await each.stop()

    on_loop(stop())


def config(name):
    made = messages.ModelServerConfig()
    made.model_config_list.config.add(name=name, base_path="/m")
    return made


def test_a_place_comes_from_the_parent(tmp_path):
    assert Place.of({}) is None
    assert Place.of({FOLDER: str(tmp_path), NUMBER: "x"}) is None
    assert Place.of({FOLDER: str(tmp_path), NUMBER: "2"}) == Place(tmp_path, 2)


def test_metrics_are_those_of_all(family, on_loop):
    members = [family(number) for number in (1, 2, 3)]
    for member in members:
        member.metrics.count_request("m", Code.OK)
        member.metrics.observe_request("m", "Predict", "GRPC", 15.0)

    async def answer(request):
        return Answer(200, members[0].siblings.metrics_text().encode())

    async def ask(target):
        routes = SummingRoutes(SimpleNamespace(answer=answer), members[0].siblings, PATH)
        return await routes.answer(Request(method="GET", target=target, headers={}, body=b"", keep_alive=True))

    alone = on_loop(ask(b"/other")).body.decode()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1\n' in alone
    text = on_loop(ask(PATH.encode() + b"?x")).body.decode()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 3\n' in text
    assert 'request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 3\n' in text


def test_requests_in_flight_are_those_of_all(family, on_loop):
    first, *others = (family(number) for number in (1, 2, 3))
    assert on_loop(first.siblings.in_flight()) == 0
    for member in (first, *others):
        member.metrics.gauge("strongroom_requests_in_flight", lambda: [((), 4.0)])
    assert on_loop(first.siblings.in_flight()) == 8


def test_a_reload_reaches_all_and_a_latecomer_too(family, on_loop):
    first, second = family(1), family(2)
    on_loop(second.siblings.reload(config("new")))
    assert (first.models.taken, second.models.taken) == (["new"], ["new"])
    assert family(3).models.taken == ["new"]


def test_a_configuration_that_is_wrong_reaches_nobody_else(family, on_loop):
    first, second = family(1), family(2)
    first.models.refuses = True
    with pytest.raises(BadRequest):
        on_loop(first.siblings.reload(config("new")))
    assert second.models.taken == []


def test_a_sibling_that_refuses_or_is_mute_is_named(family, on_loop, tmp_path):
    first, second = family(1), family(2)
    second.models.refuses = True
    with pytest.raises(SiblingFailed, match="process 2: not this one") as caught:
        on_loop(first.siblings.reload(config("new")))
    assert caught.value.code == "SR-SERVE-SIBLING"
    on_loop(second.siblings.stop())

    async def hang_up(reader, writer):
        writer.close()

    async def scene():
        async with await asyncio.start_unix_server(hang_up, tmp_path / "2.sock"):
            await first.siblings.reload(config("new"))

    with pytest.raises(SiblingFailed, match="process 2 does not answer"):
        on_loop(scene())


def test_a_process_that_was_killed_holds_up_no_reload_and_takes_it_over_later(family, on_loop, tmp_path):
    first, second = family(1), family(2)
    second.siblings._server.close()  # as a kill does: nobody listens, and the socket's file stays
    if not (tmp_path / "2.sock").exists():
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "2.sock"))
    on_loop(first.siblings.reload(config("new")))
    assert family(2).models.taken == ["new"]


def test_reloads_of_several_processes_come_one_after_the_other(family, on_loop):
    members = [family(number) for number in (1, 2, 3)]

    async def storm():
        names = [f"m{number}" for number in range(12)]
        await asyncio.gather(*(members[at % 3].siblings.reload(config(name)) for at, name in enumerate(names)))

    on_loop(storm())
    assert members[0].models.taken == members[1].models.taken == members[2].models.taken
    assert len(members[0].models.taken) == 12


def test_a_configuration_that_no_message_holds_is_refused_before_anybody_takes_it(family, on_loop):
    first = family(1)
    with pytest.raises(BadRequest, match="more than"):
        on_loop(first.siblings.reload(config("x" * (MAX_CONFIG_BYTES + 1))))
    assert first.models.taken == []


@pytest.mark.parametrize(
    "sent", [b"", b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"\0\0\0\3abc", b"\0\0\0\x0e" + b'{"ask": "x"}  ']
)
def test_what_is_no_message_ends_that_conversation_alone(family, on_loop, tmp_path, sent):
    first = family(1)

    async def speak():
        reader, writer = await asyncio.open_unix_connection(tmp_path / "1.sock")
        writer.write(sent)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    assert on_loop(speak()) == b""
    on_loop(first.siblings.listen_in())


# The parent.

CHILD = """
import os, pathlib, signal, sys, time
place = pathlib.Path(os.environ["STRONGROOM_SIBLINGS"]) / (os.environ["STRONGROOM_PROCESS"] + ".sock")
with open(place.parent / "log", "a") as log: log.write(os.environ["STRONGROOM_PROCESS"] + "\\n")
signal.signal(signal.SIGTERM, lambda *_: (place.unlink(missing_ok=True), sys.exit(0)))
{start}
place.touch()
while True: time.sleep(0.01)
"""


def parent_of(tmp_path, count, start=""):
    return Parent([sys.executable, "-c", CHILD.format(start=start)], tmp_path, count)


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what is waited for happens in another process
            await asyncio.sleep(0.01)


def test_children_run_until_the_parent_is_told_to_stop(tmp_path):
    async def scene():
        parent = parent_of(tmp_path, 2)
        running = asyncio.create_task(parent.run())
        await until(lambda: (tmp_path / "1.sock").exists() and (tmp_path / "2.sock").exists())
        parent.stop()
        return await running

    assert asyncio.run(scene()) == 0
    assert not list(tmp_path.glob("*.sock"))


def test_a_child_that_crashes_is_replaced(tmp_path):
    def starts():
        return (tmp_path / "log").read_text().split()

    async def scene():
        parent = parent_of(tmp_path, 2)
        running = asyncio.create_task(parent.run())
        await until(lambda: (tmp_path / "1.sock").exists() and (tmp_path / "2.sock").exists())
        parent._running[1].send_signal(signal.SIGKILL)
        await until(lambda: starts().count("1") == 2)
        assert parent._running[2].returncode is None
        await until(lambda: parent._running[1].returncode is None)
        parent.stop()
        return await running

    assert asyncio.run(scene()) == 0


def test_a_start_that_fails_ends_the_server_with_its_status(tmp_path):
    async def scene():
        start = "if place.stem == '2': sys.exit(3)"
        return await parent_of(tmp_path, 3, start).run()

    assert asyncio.run(scene()) == 3


def test_the_folder_is_for_this_user_alone(tmp_path, monkeypatch):
    from strongroom.serving.operations import processes

    seen = []

    class Looking(Parent):
        async def run(self):
            seen.append((stat.S_IMODE(self.folder.stat().st_mode), self.folder))
            return 5

    monkeypatch.setattr(processes, "Parent", Looking)
    assert asyncio.run(processes._supervise(2, ["x"])) == 5
    assert seen[0][0] == 0o700
    assert not seen[0][1].exists()
