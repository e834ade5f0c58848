"""Our clients against an original server: its double, on a plaintext Redis of this machine."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from strongroom.cli import main
from strongroom.clusterserving.faults import Internal
from strongroom.ports import free_port
from strongroom.streaming.client import AsyncClient, Client, InputQueue, OutputQueue, ResultTimeout

DOUBLE = Path(__file__).resolve().parents[2] / "original" / "server_double.py"
JOB = "serving_stream"
FOUR = np.array([1, 2, 3, 4], np.float32)
LIMIT_S = 60


@contextlib.contextmanager
def process(*words, **more):
    running = subprocess.Popen([*map(str, words)], **more)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.fixture(scope="module")
def original_server(tmp_path_factory):
    """Run a plaintext Redis and the double of an original server; lend the port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server here; tools/setup.sh all installs Debian's")
    port, folder = free_port("127.0.0.1"), tmp_path_factory.mktemp("plain")
    words = (program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder)
    with process(*words, stdout=subprocess.DEVNULL) as server:
        end = time.monotonic() + LIMIT_S
        while (
            b"PONG"
            not in subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False).stdout
        ):
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        with process(sys.executable, DOUBLE, port, JOB, stdout=subprocess.PIPE) as double:
            assert double.stdout.readline() == b"ready\n"
            yield port
            assert double.poll() is None  # it ends on fields that the original does not know


@pytest.fixture
def options(original_server):
    return {"host": "127.0.0.1", "port": original_server, "plaintext": True, "original": True}


def test_the_originals_calls_work_against_its_server(options):
    with InputQueue(**options) as enqueue, OutputQueue(**options) as output:
        enqueue.enqueue("a:1", t=FOUR)
        end = time.monotonic() + LIMIT_S
        found = {}
        while "a:1" not in found and time.monotonic() < end:
            found = output.dequeue()
        np.testing.assert_array_equal(found["a:1"], 2 * FOUR)
        np.testing.assert_array_equal(
            enqueue.predict({"t": FOUR.reshape(2, 2)}, timeout=LIMIT_S), 2 * FOUR.reshape(2, 2)
        )
        with pytest.raises(Internal):
            enqueue.predict(np.ones(3), timeout=LIMIT_S)
        with pytest.raises(ResultTimeout):
            output.query("a:1")
    with InputQueue(**options, compat=True) as old:
        assert old.predict(np.ones(3), timeout=LIMIT_S) == "NaN"


def test_tickets_work_against_an_original_server(options):
    with Client(**options) as client:
        tickets = client.submit_many([{"t": at * FOUR} for at in range(50)])
        results = client.results(tickets, LIMIT_S)
    assert [each.outputs["output_0"][0] for each in results] == [2 * at for at in range(50)]


def test_coroutines_work_against_an_original_server(options):
    async def story():
        async with AsyncClient(**options) as client:
            return await asyncio.gather(*(client.predict({"t": at * FOUR}, timeout_s=LIMIT_S) for at in range(20)))

    results = asyncio.run(story())
    assert [each.outputs["output_0"][0] for each in results] == [2 * at for at in range(20)]


def test_queue_send_speaks_to_an_original_server_on_this_machine(options, tmp_path, capsys):
    np.save(tmp_path / "a.npy", FOUR)
    words = ["--host", "127.0.0.1", "--port", str(options["port"]), "--plaintext", "--original"]
    assert main(["queue", "send", *words, str(tmp_path / "a.npy")]) == 0
    assert capsys.readouterr().out.endswith("output_0 [4]: 2 4 6 8\n")


def test_nothing_is_left_of_what_tickets_took(options, original_server):
    with Client(**options) as client:
        client.submit({"t": FOUR}).result(LIMIT_S)
    keys = subprocess.run(
        ["redis-cli", "-p", str(original_server), "keys", "*"], capture_output=True, check=True
    ).stdout
    assert keys.split() == [JOB.encode()]
