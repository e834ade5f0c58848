"""`strongroom queue up` as people run it: one command, a record in, a result out, and nothing left."""

import json
import os
import select
import signal
import ssl
import subprocess
import sys
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

STRONGROOM = [sys.executable, "-m", "strongroom"]


@pytest.fixture
def model(tmp_path):
    """Write a model that doubles: t float32 [n, 4] to y."""
    return written(tmp_path / "twice", ["Mul"])


@pytest.fixture
def slow_model(tmp_path):
    """Write a model that takes seconds to load: the engine looks at each of its nodes for each other."""
    return written(tmp_path / "slow", ["Mul", "Max"] * 2000)


def written(folder, operators):
    """Write a model that takes t float32 [n, 4] through operators with 2 to y."""
    folder.mkdir()
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4]) for name in ("t", "y")]
    names = ["t", *(f"v{place}" for place in range(1, len(operators))), "y"]
    nodes = [helper.make_node(each, [names[at], "two"], [names[at + 1]]) for at, each in enumerate(operators)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [two])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
    return folder


def ask(facts, path, body=None, *, identity=True):
    """Return status and body of a request to the front."""
    context = ssl.create_default_context(cafile=facts["ca"])
    if identity:
        context.load_cert_chain(facts["certificate"], facts["key"])
    host, _, port = facts["http"].removeprefix("https://").partition(":")
    connection = HTTPSConnection(host, int(port), timeout=60, context=context)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST" if body is not None else "GET", path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def family(pid):
    """Return a process and everything below it, by command line."""
    found, left = {}, [pid]
    while left:
        each = left.pop()
        try:
            found[each] = Path(f"/proc/{each}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            for task in Path(f"/proc/{each}/task").iterdir():
                left += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def serves(facts):
    status, body = ask(facts, "/predict", {"instances": [{"t": [1.0, 2.0, 3.0, 4.0]}]})
    assert status == 200, body
    assert json.loads(body)["predictions"][0]["data"] == [2.0, 4.0, 6.0, 8.0]


def test_one_command_serves_and_ctrl_c_leaves_nothing(model, tmp_path):
    with subprocess.Popen(
        [*STRONGROOM, "queue", "up", "--model", str(model), "--json"], cwd=tmp_path, stdout=subprocess.PIPE,
    ) as up:  # fmt: skip
        try:
            facts = json.loads(up.stdout.readline())
            serves(facts)
            status, _ = ask(facts, "/predict", {"instances": [{"t": [1.0, 2.0, 3.0, 4.0]}]}, identity=False)
            assert status in {401, 403}
            everybody = family(up.pid)
            passwords = [path.read_text() for path in Path(facts["folder"], "redis", "users").glob("*.password")]
            for pid, words in everybody.items():
                told = words + Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
                assert not any(each in told for each in passwords)
            assert sum("redis-server" in words for words in everybody.values()) == 1
        finally:
            up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    assert [pid for pid in everybody if alive(pid)] == []
    for path in (tmp_path / "queue").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.suffix in {".crt", ".log"}, path


def test_detached_it_goes_on_and_queue_down_ends_it(model, tmp_path):
    words = [*STRONGROOM, "queue", "up", "--model", str(model), "--folder", "mine", "--detach", "--json"]
    down = [*STRONGROOM, "queue", "down", "--folder", "mine"]
    try:
        done = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=200)
        facts = json.loads(done.stdout)
        serves(facts)
        pid = json.loads((tmp_path / "mine" / "running.json").read_text())["pid"]
        everybody = family(pid)
        assert pid in everybody
    finally:
        ended = subprocess.run(down, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert b"has ended" in ended.stdout
    assert [each for each in everybody if alive(each)] == []
    again = subprocess.run(down, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert b"No queue runs here" in again.stdout


def test_a_queue_that_loses_its_parent_does_not_stay(model, tmp_path):
    with subprocess.Popen(
        [*STRONGROOM, "queue", "up", "--model", str(model), "--no-http", "--json"],
        cwd=tmp_path, stdout=subprocess.PIPE,
    ) as up:  # fmt: skip
        assert json.loads(up.stdout.readline())["http"] is None
        everybody = family(up.pid)
        up.kill()
        up.wait(30)
    handles = []
    for pid in set(everybody) - {up.pid}:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    for handle in handles:
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)


def test_a_model_that_does_not_load_ends_with_its_words(tmp_path):
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [*STRONGROOM, "queue", "up", "--model", "empty", "--detach"], cwd=tmp_path, check=False, capture_output=True,
        text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 4
    assert "SR-QUEUE-PART" in done.stderr
    assert done.stderr.count("what to do") == 1
    assert "what to do: Put exactly one model there" in done.stderr


def test_a_queue_without_workers_has_no_port_for_the_original_s_client(tmp_path):
    words = [*STRONGROOM, "queue", "up", "--workers", "0", "--compat", "6379"]
    done = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"--workers 0 starts none" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_detached_queue_starts_leaves_nothing(slow_model, tmp_path):
    words = [*STRONGROOM, "queue", "up", "--model", str(slow_model), "--detach"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as up:
        assert "starting the queue" in up.stderr.readline()
        note = tmp_path / "queue" / "running.json"
        while not note.exists() and up.poll() is None:
            select.select([up.stderr], [], [], 0.02)
        everybody = family(up.pid)
        up.send_signal(signal.SIGINT)
        assert up.wait(120) == 130
    assert any("redis-server" in each for each in everybody.values())
    assert [pid for pid in everybody if alive(pid)] == []


def test_what_stands_beside_the_queue_s_parts_is_for_operators(model, tmp_path):
    words = [*STRONGROOM, "queue", "up", "--model", str(model), "--no-http", "--json"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as up:
        try:
            facts = json.loads(up.stdout.readline())
            for verb, role in (("status", "probe"), ("status", "admin"), ("dead list", "admin")):
                done = subprocess.run(
                    [*STRONGROOM, "queue", *verb.split(), "-c", facts[role]],
                    check=False,
                    capture_output=True,
                    timeout=60,
                )
                assert done.returncode == 0, done.stderr
        finally:
            up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    done = subprocess.run(
        [*STRONGROOM, "queue", "status", "-c", facts["probe"]], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 4
    assert "is not reached" in done.stdout
    assert "0 records" not in done.stdout


def test_the_original_s_commands_start_and_end_a_queue(model, tmp_path):
    def run(name, *words):
        program = (
            f"import sys; from strongroom.cli import cluster_serving as c; sys.argv[0] = '{name}'; sys.exit(c.{name}())"
        )
        return subprocess.run(
            [sys.executable, "-c", program, *words], cwd=tmp_path, check=True, capture_output=True, timeout=200
        )

    run("init")
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("/path/to/model", str(model)))
    try:
        assert b"is ready" in run("cli", "restart", "-c", "config.yaml", "-o", "1").stdout
    finally:
        assert b"has ended" in run("stop").stdout
