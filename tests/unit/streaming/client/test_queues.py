"""The original's calls, InputQueue and OutputQueue, on our queue: typed errors, and the old words by a switch."""

import base64
import os
import signal
import uuid

import numpy as np
import pytest

from strongroom.clusterserving.arrow_request import decode_inputs
from strongroom.clusterserving.faults import BadImage, ModelError, QueueFull
from strongroom.errors import StrongroomError
from strongroom.streaming.client import InputQueue, OutputQueue, ResultTimeout
from strongroom.streaming.client.settings import BadQueueOption
from strongroom.streaming.link.place import RedisRefused, RedisUnverified


@pytest.fixture
def queues(bench):
    """Return an InputQueue and an OutputQueue with options, closed with the test."""

    def make(**more):
        options = bench.options(**more)
        return bench.open(InputQueue(**options)), bench.open(OutputQueue(**options))

    return make


def until(output, uri):
    while True:
        try:
            return output.query(uri)
        except ResultTimeout:
            continue


def test_enqueue_query_and_delete_as_in_the_original(bench, queues, four):
    bench.worker()
    enqueue, output = queues()
    enqueue.enqueue("my-1", t=four)
    np.testing.assert_array_equal(until(output, "my-1"), 2 * four)
    np.testing.assert_array_equal(output.query_and_delete("my-1"), 2 * four)
    with pytest.raises(ResultTimeout):
        output.query("my-1")


def test_numbers_of_any_type_go_as_float32(bench, queues):
    bench.worker()
    enqueue, output = queues()
    enqueue.enqueue("a", t=np.array([1, 2, 3, 4], np.int64))
    assert until(output, "a").tolist() == [2, 4, 6, 8]


@pytest.mark.parametrize(
    "request_data",
    [np.ones(4), {"t": np.ones(4)}, '{"instances": [{"t": [1, 1, 1, 1]}]}'],
    ids=["array", "dict", "json"],
)
def test_predict_takes_what_the_original_takes(bench, queues, request_data):
    bench.worker()
    enqueue, _ = queues()
    assert enqueue.predict(request_data, timeout=20).tolist() == [2, 2, 2, 2]


def test_compat_brings_the_old_words_back(bench, queues, four):
    worker = bench.worker(free=False)
    enqueue, output = queues()
    old_in, old_out = bench.open(InputQueue(**bench.options(), compat=True)), bench.open(
        OutputQueue(**bench.options(), compat=True)
    )  # fmt: skip
    assert old_out.query("nothing") == "[]"
    assert old_in.predict(four, timeout=0.05) == "[]"
    with pytest.raises(ResultTimeout):
        enqueue.predict(four, timeout=0.05)
    worker.free()
    assert old_in.predict(-np.ones(4), timeout=20) == "NaN"
    with pytest.raises(ModelError):
        enqueue.predict(-np.ones(4), timeout=20)
    enqueue.enqueue("bad", t=-np.ones(4))
    with pytest.raises(ModelError):
        until(output, "bad")
    assert old_out.query("bad") == "NaN"


@pytest.mark.parametrize("uri", ["a:b:c", "a%20b", "mit Abstand", "Größe/ß"])
def test_d16_dequeue_gives_uris_back_whole(bench, queues, four, uri):
    bench.worker()
    enqueue, output = queues(client=uuid.uuid4().hex)
    enqueue.enqueue(uri, t=four)
    found = {}
    while not found:
        found = output.dequeue()
    assert list(found) == [uri]
    np.testing.assert_array_equal(found[uri], 2 * four)


def test_d07_two_clients_of_a_job_each_get_all_and_only_their_results(bench, queues, four):
    bench.worker()
    bench.redis.admin("CONFIG", "RESETSTAT")
    pairs = [queues(client=name) for name in ("ann", "ben")]
    wanted = []
    for who, (enqueue, _) in enumerate(pairs):
        wanted.append({f"{who}-{at}" for at in range(40)})
        for uri in wanted[-1]:
            enqueue.enqueue(uri, t=(who + 1) * four)
    got = [{}, {}]
    while [len(each) for each in got] != [40, 40]:
        for taken, (_, output) in zip(got, pairs, strict=True):
            taken.update(output.dequeue())
    assert [set(each) for each in got] == wanted
    assert all((value == 2 * (who + 1) * four).all() for who in (0, 1) for value in got[who].values())
    stats = bench.redis.admin("INFO", "commandstats").decode()
    assert "cmdstat_keys:" not in stats
    assert "cmdstat_scan:" not in stats


def test_dequeue_has_failed_records_errors_as_values(bench, queues):
    bench.worker()
    enqueue, output = queues(client=uuid.uuid4().hex)
    enqueue.enqueue("bad", t=-np.ones(4))
    found = {}
    while not found:
        found = output.dequeue()
    assert isinstance(found["bad"], ModelError)
    enqueue.enqueue("bad", t=-np.ones(4))
    old = bench.open(OutputQueue(**bench.options(client=enqueue._client.settings.client), compat=True))
    while not (found := old.dequeue()):
        pass
    assert found == {"bad": "NaN"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns of threads
def test_what_a_process_forks_sends_for_the_same_dequeue(bench, queues, four):
    bench.worker()
    _, output = queues()
    child = os.fork()
    if not child:
        signal.alarm(60)  # another thread may have held a lock when it was forked
        status = 1
        try:
            InputQueue(**bench.options()).enqueue("from-a-child", t=four)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    found = {}
    while not found:
        found = output.dequeue()
    assert list(found) == ["from-a-child"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 warns of threads
def test_queues_that_were_used_before_a_fork_work_in_both_processes(bench, queues, four):
    bench.worker()
    enqueue, output = queues(client=uuid.uuid4().hex)
    enqueue.enqueue("before", t=four)
    enqueue.predict(four, timeout=20)
    children = []
    for at in range(3):
        child = os.fork()
        if not child:
            signal.alarm(60)  # another thread may have held a lock when it was forked
            status = 1
            try:
                for step in range(20):
                    enqueue.enqueue(f"{at}-{step}", t=four)
                status = int(enqueue.predict(four, timeout=20).tolist() != [2, 4, 6, 8])
            finally:
                os._exit(status)
        children.append(child)
    for step in range(20):
        enqueue.enqueue(f"parent-{step}", t=four)
        enqueue.predict(four, timeout=20)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    found = {}
    while len(found) < 81:
        found |= output.dequeue()
    assert len(found) == 81


def test_enqueue_tells_a_full_queue_at_once_or_after_a_while(bench, queues, four):
    worker = bench.worker(free=False, bounds={"max_records": 2}, batch_size=1)
    enqueue, _ = queues()
    patient = bench.open(InputQueue(**bench.options(), full_wait_s=20))
    for at in range(2):
        enqueue.enqueue(f"u{at}", t=four)
    with pytest.raises(QueueFull):
        enqueue.enqueue("u2", t=four)
    worker.free()
    patient.enqueue("u2", t=four)


def test_enqueue_image_and_paths_send_jpeg(bench, queues, tmp_path):
    cv2 = pytest.importorskip("cv2")
    with bench.redis.queue("worker") as group:
        group.make_group()
    pixels = np.full((8, 6, 3), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    enqueue, _ = queues()
    enqueue.enqueue_image("pixels", pixels)
    enqueue.enqueue("text", image=str(tmp_path / "a.png"))
    enqueue.enqueue("path", image={"path": str(tmp_path / "a.png")})
    enqueue.enqueue("b64", image={"b64": base64.b64encode(b"\xff\xd8\xffrest").decode()})
    entries = bench.redis.admin("XRANGE", bench.job.stream, "-", "+")
    sent = [dict(zip(fields[::2], fields[1::2], strict=True))[b"d:image"] for _, fields in entries]
    assert all(each[:3] == b"\xff\xd8\xff" for each in sent)
    with pytest.raises(BadImage) as missing:
        enqueue.enqueue("none", image=str(tmp_path / "none.png"))
    assert missing.value.code == "SR-QUEUE-BAD-IMAGE"


def test_data_to_b64_and_enqueue_tensor_give_the_originals_form(bench, queues, four):
    bench.worker()
    enqueue, output = queues()
    np.testing.assert_array_equal(decode_inputs(base64.b64decode(enqueue.data_to_b64(t=four)))["t"], four)
    enqueue.enqueue_tensor("one", four)
    assert until(output, "one").tolist() == [2, 4, 6, 8]


def test_the_arrow_form_is_understood_as_well(bench, queues, four):
    bench.worker()
    enqueue, output = queues(form="arrow")
    enqueue.enqueue("arrow", t=four)
    assert until(output, "arrow").tolist() == [2, 4, 6, 8]


def test_an_04_a_client_of_its_own_reads_and_deletes_its_own_results_alone(bench, four):
    bench.worker()
    ann, ben = (bench.options(own=name) for name in ("ann", "ben"))
    mine, theirs = bench.open(InputQueue(**ann)), bench.open(OutputQueue(**ben))
    mine.enqueue("secret", t=four)
    results = bench.open(OutputQueue(**ann))
    assert until(results, "secret").tolist() == [2, 4, 6, 8]
    nosy = bench.open(OutputQueue(**{**ben, "own": "ann"}))  # ben's user, ann's names
    for ask in (lambda: nosy.query("secret"), lambda: nosy.query_and_delete("secret"), nosy.dequeue):
        with pytest.raises(RedisRefused):
            ask()
    with pytest.raises(ResultTimeout):
        theirs.query("secret")
    assert theirs.dequeue() == {}
    assert results.dequeue().keys() == {"secret"}
    with pytest.raises(RedisRefused):
        bench.open(OutputQueue(**bench.options())).dequeue(everything=True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"colour": "red"}, "SR-QUEUE-CLIENT-OPTION"),
        ({"form": "pickle"}, "SR-QUEUE-CLIENT-OPTION"),
        ({"port": 0x10000}, "SR-QUEUE-CLIENT-OPTION"),
        ({"original": True, "seal_to": "x"}, "SR-QUEUE-CLIENT-OPTION"),
        ({"seal_to": "x"}, "SR-QUEUE-CLIENT-OPTION"),
        ({"tls": False}, "SR-REDIS-PLAINTEXT"),
        ({"plaintext": True, "host": "queue.example"}, "SR-REDIS-PLAINTEXT"),
        ({"ca": "/nowhere/ca.pem"}, "SR-REDIS-SETUP"),
        ({"name": "a b"}, "SR-QUEUE-JOB-NAME"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, code):
    with pytest.raises(StrongroomError) as problem:
        OutputQueue(**options)
    assert problem.value.code == code


def test_d14_a_redis_whose_certificate_is_not_trusted_is_not_spoken_to(bench, four, tmp_path):
    options = bench.options()
    own = bench.open(OutputQueue(**{key: value for key, value in options.items() if key not in ("ca", "cert", "key")}))
    with pytest.raises(RedisUnverified):
        own.query("a")


def test_plaintext_is_loud(bench, caplog):
    OutputQueue(plaintext=True, host="127.0.0.1", port=1).close()
    assert "PLAINTEXT" in caplog.text


def test_only_predict_is_there_with_a_front_end(bench):
    with InputQueue("https://localhost:1") as enqueue, pytest.raises(BadQueueOption):
        enqueue.enqueue("a", t=np.ones(4))
