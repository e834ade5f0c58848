"""The plaintext port for the original's client: what it answers, what it refuses, and what hostile peers get."""

import base64
import socket

import numpy as np
import pytest
import redis

from strongroom.clusterserving.arrow_request import encode_inputs
from strongroom.clusterserving.arrow_result import decode_result
from strongroom.clusterserving.config import QueueConfig
from strongroom.streaming.client.compat_port import CompatPort, CompatPortTaken
from strongroom.streaming.client.compat_upstream import CompatSetup, compat_place, read_memory


@pytest.fixture
def plain(compat, bench):
    """Return what connects as the original does, with either version of the protocol."""

    def connect(protocol=3, **options):
        port = compat(**options)
        client = redis.Redis(host="127.0.0.1", port=port.port, protocol=protocol)
        bench._stack.callback(client.close)
        return client

    return connect


@pytest.fixture
def raw(compat, bench):
    """Return what connects a bare socket to the port and what talks to it: send bytes, get all that is answered."""

    def connect(**options):
        port = compat(**options)
        peer = bench._stack.enter_context(socket.create_connection(("127.0.0.1", port.port), timeout=20))
        return peer, port

    return connect


def record(four):
    return base64.b64encode(encode_inputs({"t": four}))


def answer(peer, sent):
    peer.sendall(sent)
    return peer.recv(65536)


def spelled(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in words)


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_commands_of_the_originals_client_work_as_on_redis(bench, plain, four, protocol):
    bench.worker()
    client = plain(protocol)
    with pytest.raises(redis.ResponseError, match="BUSYGROUP"):
        client.xgroup_create(bench.job.stream, "serving")
    memory = client.info()
    assert memory["used_memory"] > 0
    assert memory["maxmemory"] > 0
    assert set(memory) == {"used_memory", "maxmemory"}
    entry_id = client.xadd(bench.job.stream, {"uri": "my-1", "data": record(four)})
    key = f"cluster-serving_{bench.job.name}:my-1"
    while not (found := client.hgetall(key)):
        pass
    assert found[b"id"] == entry_id
    np.testing.assert_array_equal(decode_result(base64.b64decode(found[b"value"]))[0], 2 * four)
    assert client.keys(f"cluster-serving_{bench.job.name}:*") == [key.encode()]
    assert client.delete(key, f"cluster-serving_{bench.job.name}:none") == 1
    assert client.hgetall(key) == {}
    assert client.ping()


@pytest.mark.parametrize("protocol", [2, 3])
def test_pipelines_with_and_without_a_transaction_work(bench, plain, four, protocol):
    bench.worker()
    client = plain(protocol)
    for at in range(300):
        client.xadd(bench.job.stream, {"uri": f"my-{at}", "data": record(four)})
    while len(keys := client.keys(f"cluster-serving_{bench.job.name}:*")) < 300:
        pass
    for transaction in (True, False):
        pipe = client.pipeline(transaction=transaction)
        for key in keys:
            pipe.hgetall(key)
        found = pipe.execute()
        assert len(found) == 300
        assert all(len(base64.b64decode(each[b"value"])) > 100 for each in found)
    assert client.delete(*keys) == 300


def test_keys_is_never_asked_of_redis(bench, plain):
    bench.worker()
    client = plain()
    bench.redis.admin("CONFIG", "RESETSTAT")
    client.keys(f"cluster-serving_{bench.job.name}:*")
    stats = bench.redis.admin("INFO", "commandstats").decode()
    assert "cmdstat_keys:" not in stats
    assert "cmdstat_scan:" in stats


@pytest.mark.parametrize(
    "command",
    [
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("EVAL", "return 1", "0"),
        ("HGETALL", "cs-workers_other"),
        ("HGETALL", "cluster-serving_other:a"),
        ("DEL", "{stream}"),
        ("XADD", "other", "*", "uri", "a", "data", "b"),
        ("XADD", "{stream}", "MAXLEN", "0", "*", "uri", "a", "data", "b"),
        ("XADD", "{stream}", "*", "uri", "a", "data", "b", "reply", "cs-reply_x"),
        ("XADD", "{stream}", "*", "uri", "a", "data", "b", "uri", "c"),
        ("XTRIM", "{stream}", "MAXLEN", "0"),
        ("XREADGROUP", "GROUP", "serving", "me", "STREAMS", "{stream}", ">"),
        ("XGROUP", "DESTROY", "{stream}", "serving"),
        ("SELECT", "1"),
        ("AUTH", "x"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("MONITOR",),
        ("SCRIPT", "LOAD", "return 1"),
        ("HELLO", "3", "AUTH", "admin", "x"),
    ],
    ids=" ".join,
)
def test_everything_else_is_refused_and_the_connection_goes_on(bench, raw, command):
    peer, _ = raw()
    words = [each.replace("{stream}", bench.job.stream).encode() for each in command]
    assert answer(peer, spelled(*words)).startswith(b"-NOPERM ")
    assert answer(peer, spelled(b"PING")) == b"+PONG\r\n"


def test_bad_records_are_refused_by_name(bench, raw):
    peer, _ = raw(config={"maxRecordBytes": 3000})
    stream = bench.job.stream.encode()
    assert answer(peer, spelled(b"XADD", stream, b"*", b"uri", b"a\n", b"data", b"x")).startswith(b"-ERR invalid_uri")
    assert answer(peer, spelled(b"XADD", stream, b"*", b"uri", b"\xff", b"data", b"x")).startswith(b"-ERR invalid_uri")
    big = spelled(b"XADD", stream, b"*", b"uri", b"a", b"data", b"x" * 6000)
    assert answer(peer, big).startswith(b"-ERR too_large")
    fine = spelled(b"XADD", stream, b"*", b"uri", b"a", b"data", b"x")
    assert answer(peer, fine).startswith(b"-ERR not_ready")


def test_an_03_a_full_queue_holds_the_client_up_and_then_says_so(bench, plain, four, monkeypatch):
    monkeypatch.setattr("strongroom.streaming.client.compat_session.FULL_WAIT_S", 0.05)
    worker = bench.worker(free=False, bounds={"max_records": 2}, batch_size=1)
    client = plain(config={"maxStreamLength": 2})
    for at in range(2):
        client.xadd(bench.job.stream, {"uri": f"a{at}", "data": record(four)})
    with pytest.raises(redis.ResponseError, match="queue_full"):
        client.xadd(bench.job.stream, {"uri": "a2", "data": record(four)})
    assert bench.redis.admin("XLEN", bench.job.stream) == 2
    monkeypatch.setattr("strongroom.streaming.client.compat_session.FULL_WAIT_S", 4.0)
    worker.free()
    client.xadd(bench.job.stream, {"uri": "a2", "data": record(four)})


def test_a_transaction_takes_reading_and_deleting_alone(bench, raw):
    peer, _ = raw()
    stream = bench.job.stream.encode()
    assert answer(peer, spelled(b"EXEC")) == b"-ERR EXEC without MULTI\r\n"
    assert answer(peer, spelled(b"MULTI")) == b"+OK\r\n"
    assert answer(peer, spelled(b"XADD", stream, b"*", b"uri", b"a", b"data", b"b")).startswith(b"-NOPERM")
    assert answer(peer, spelled(b"EXEC")).startswith(b"-EXECABORT")
    assert answer(peer, spelled(b"MULTI")) == b"+OK\r\n"
    assert answer(peer, spelled(b"MULTI")).startswith(b"-ERR")
    assert answer(peer, spelled(b"DISCARD")) == b"+OK\r\n"
    assert answer(peer, spelled(b"QUIT")) == b"+OK\r\n"
    assert peer.recv(100) == b""


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"*1\r\n$99999999999\r\n", b"\x16\x03\x01\x02\x00", b"PING\r\n"]
)
def test_what_is_not_redis_protocol_ends_the_connection(raw, sent):
    peer, _ = raw()
    peer.sendall(sent)
    said = b""
    while data := peer.recv(4096):
        said += data
    assert said.startswith(b"-ERR Protocol error")


def test_requests_that_come_byte_by_byte_and_together_are_answered_in_order(raw):
    peer, _ = raw()
    for byte in spelled(b"PING"):
        peer.sendall(bytes([byte]))
    assert peer.recv(100) == b"+PONG\r\n"
    peer.sendall(spelled(b"PING") * 1000 + spelled(b"HELLO", b"9"))
    said = b""
    while not said.endswith(b"version\r\n"):
        said += peer.recv(65536)
    assert said == b"+PONG\r\n" * 1000 + b"-NOPROTO unsupported protocol version\r\n"


def test_connections_beyond_the_bound_are_turned_away(raw):
    peer, port = raw(connections=1)
    assert answer(peer, spelled(b"PING")) == b"+PONG\r\n"
    with socket.create_connection(("127.0.0.1", port.port), timeout=20) as second:
        assert second.recv(100).startswith(b"-ERR max number of clients")
        assert second.recv(100) == b""


def test_still_connections_and_half_requests_are_ended(raw):
    still, _ = raw(idle_s=0.05)
    assert still.recv(10) == b""
    half, _ = raw(half_request_s=0.05)
    half.sendall(b"*2\r\n$4\r\nPI")
    assert half.recv(10) == b""


def test_a_peer_that_does_not_read_is_ended(raw):
    peer, _ = raw(unread_bytes=1 << 20)

    def talk_on():
        while True:
            peer.sendall(spelled(b"HELLO", b"3") * 2000)

    with pytest.raises(OSError):  # noqa: PT011  # reset or broken pipe, as the system likes
        talk_on()


def test_half_requests_of_all_connections_together_are_bounded(raw):
    first, port = raw(held_bytes=100_000)
    half = b"*2\r\n$4\r\nKEYS\r\n$90000\r\n" + b"x" * 60_000
    first.sendall(half)
    while sum(port.opened._held.values()) < 60_000:
        pass
    with socket.create_connection(("127.0.0.1", port.port), timeout=20) as second:
        second.sendall(half)
        said = second.recv(4096)
    assert said.startswith(b"-ERR Protocol error: requests that have not ended")


@pytest.mark.parametrize("serde", [None, "stream", "raw", "sealed"])
def test_an_01_a_queue_of_sealed_records_takes_none_from_the_plaintext_port(bench, plain, four, serde):
    bench.worker(require_sealed=True)
    client = plain()
    fields = {"uri": "u", "data": record(four)} | ({"serde": serde} if serde else {})
    client.xadd(bench.job.stream, fields)
    while not (found := client.hgetall(bench.job.result("u"))):
        pass
    assert (found[b"value"], found[b"code"]) == (b"NaN", b"unauthorized")


def test_sv_12_transactions_that_are_not_executed_are_bounded(raw, bench):
    peer, _ = raw(held_bytes=1 << 20)
    keys = [f"{bench.job.result_prefix}{at}".encode() for at in range(1000)]
    said = answer(peer, spelled(b"MULTI"))
    with pytest.raises(OSError):  # noqa: PT011, PT012  # reset or broken pipe, as the system likes
        for _ in range(1000):
            said = answer(peer, spelled(b"DEL", *keys))
            if b"Protocol error" in said or not said:
                raise ConnectionResetError


@pytest.mark.parametrize("in_one", [True, False])
def test_sv_12_a_small_request_does_not_make_the_port_hold_a_large_result_many_times(raw, bench, in_one):
    """A result is asked for 3000 times with 100 KiB of requests: what there is no room for is refused in its place."""
    bench.redis.admin("HSET", bench.job.result("large"), "value", b"v" * 100_000)
    peer, _ = raw(unread_bytes=8 << 20)
    wanted = spelled(b"HGETALL", bench.job.result("large").encode()) * 3000
    peer.sendall(spelled(b"MULTI") + wanted + spelled(b"EXEC") if in_one else wanted)
    peer.sendall(spelled(b"HELLO", b"9"))
    got = 0
    with peer.makefile("rb") as replies:
        while b"NOPROTO" not in (line := replies.readline()):
            got += len(line)
    assert 1 << 20 < got < 100_000 * 3000 / 4


def test_the_port_is_on_loopback_alone_and_loud(compat, bench, caplog):
    port = compat()
    assert {each.getsockname()[0] for server in port.opened._servers for each in server.sockets} <= {"127.0.0.1", "::1"}
    warning = next(each for each in caplog.records if "COMPAT PORT ON" in each.getMessage())
    assert warning.levelname == "WARNING"
    assert "WITHOUT TLS AND WITHOUT A PASSWORD" in warning.getMessage()


async def try_port(port):
    async with CompatPort(None, None, port):
        pass


def test_a_taken_port_is_told(compat):
    import asyncio

    port = compat()
    with pytest.raises(CompatPortTaken) as taken:
        asyncio.run(try_port(port.port))
    assert taken.value.code == "SR-QUEUE-COMPAT-PORT"


def test_the_port_does_not_borrow_the_workers_rights(bench):
    config, _ = QueueConfig.parse(bench.redis.config_yaml("worker").encode())
    with pytest.raises(CompatSetup) as missing:
        compat_place(config)
    assert missing.value.code == "SR-QUEUE-COMPAT-USER"


def test_memory_that_is_not_told_counts_as_none():
    assert read_memory([b"# Memory\r\nused_memory:5\r\nmaxmemory:x\r\n"]) == (5, 0)


def test_when_redis_is_away_the_client_hears_a_lost_connection(bench, own_redis, compat):
    broken = own_redis()
    bench.redis = broken
    bench.job = broken.job
    port = compat()
    broken.server.stop()
    client = redis.Redis(host="127.0.0.1", port=port.port, socket_timeout=30, retry=None)
    with pytest.raises(redis.ConnectionError):
        client.hgetall(f"cluster-serving_{broken.job.name}:a")
    client.close()
