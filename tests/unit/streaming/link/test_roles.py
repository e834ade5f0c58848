"""What each role may do in a real Redis, and what it may not: the rules of access.py as Redis takes them."""

import contextlib
from dataclasses import replace

import pytest

from strongroom.clusterserving.access import Role
from strongroom.clusterserving.scripts import ADMIT
from strongroom.streaming.link.connection import SyncLink
from strongroom.streaming.link.queue import Completion, Queue

# {job} stands for the job's name. Each of these is refused with NOPERM.
FORBIDDEN = {
    "client": [
        "XREADGROUP GROUP serving c STREAMS {job} >", "XREAD STREAMS {job} 0", "XRANGE {job} - +", "XDEL {job} 1-1",
        "XTRIM {job} MAXLEN 0", "DEL {job}", "UNLINK {job}", "SET {job} x", "HSET {job} a b", "EXPIRE {job} 1",
        "PEXPIRE {job} 1", "XGROUP CREATE {job} serving $", "XGROUP DESTROY {job} serving", "XACK {job} serving 1-1",
        "KEYS *", "SCAN 0", "DBSIZE", "RANDOMKEY", "FLUSHALL", "SELECT 1", "XINFO STREAM {job}", "XSETID {job} 9-9",
        "XGROUP SETID {job} serving $", "XCLAIM {job} serving c 0 1-1", "OBJECT ENCODING {job}", "TYPE {job}",
        "EXISTS {job}", "DUMP {job}", "SORT cs-reply_{job}:a", "CLIENT KILL TYPE normal", "CLIENT NO-EVICT on",
        "CLIENT PAUSE 1", "CLIENT TRACKING on", "FUNCTION LIST", "FCALL f 0", "SWAPDB 0 1",
        "MEMORY USAGE {job}", "PUBSUB CHANNELS", "SLAVEOF NO ONE", "SYNC", "ACL WHOAMI", "WATCH {job}", "MULTI",
        "CONFIG GET *", "MONITOR", "CLIENT LIST", "INFO",
        "ACL LIST", "SLOWLOG GET", "SHUTDOWN", "SAVE", "SCRIPT FLUSH", "SUBSCRIBE x", "PUBLISH x y",
        "HSET cluster-serving_{job}:u value forged", "SET cluster-serving_{job}:u forged",
        "RENAME cluster-serving_{job}:u x", "COPY cluster-serving_{job}:u cluster-serving_{job}:v",
        "HGETALL cluster-serving_other:u", "XADD other * a b", "BLPOP cs-reply_other:me 1",
        "RPUSH cs-reply_{job}:me u", "LRANGE cs-reply_{job}:me 0 -1", "SET cs-worker_{job}:w x",
        "HSET cs-workers_{job} w 1", "XADD cs-dead_{job} * a b", "XRANGE cs-dead_{job} - +", "HGETALL model_secured",
    ],
    "worker": [
        "HGETALL cluster-serving_{job}:u", "HGET cluster-serving_{job}:u value", "XADD {job} * a b", "DEL {job}",
        "LRANGE cs-reply_{job}:me 0 -1", "LPOP cs-reply_{job}:me", "KEYS *", "SCAN 0", "CONFIG GET *", "FLUSHALL",
        "XTRIM {job} MAXLEN 0", "XGROUP DESTROY {job} serving", "XGROUP SETID {job} serving $",
        "HSET cluster-serving_other:u a b",
        "XREADGROUP GROUP serving c STREAMS other >", "HGETALL model_secured", "MONITOR", "CLIENT KILL ID 1",
    ],
    "compat": [
        "XREADGROUP GROUP serving c STREAMS {job} >", "XRANGE {job} - +", "DEL {job}", "CONFIG GET *", "FLUSHALL",
        "HSET cluster-serving_{job}:u a b", "HGETALL cluster-serving_other:u", "KEYS *", "MONITOR",
    ],
    "probe": [
        "HGETALL cluster-serving_{job}:u", "XRANGE {job} - +", "XRANGE cs-dead_{job} - +", "XADD {job} * a b", "KEYS *",
        "DEL cs-worker_{job}:w", "EVAL 1 0", "SCRIPT LOAD x", "XINFO STREAM {job}", "XINFO STREAM {job} FULL",
    ],
    "frontend": [
        "XREADGROUP GROUP serving c STREAMS {job} >", "XRANGE {job} - +", "DEL {job}", "KEYS *", "SCAN 0",
        "CONFIG GET *",
    ],
}  # fmt: skip


@pytest.mark.parametrize("role", FORBIDDEN)
def test_dp_04_a_role_is_refused_what_is_not_its_part(redis_job, role):
    redis_job.make_group()
    commands = [tuple(each.format(job=redis_job.job.name).split()) for each in FORBIDDEN[role]]
    with contextlib.closing(SyncLink(redis_job.place(role))) as link:
        words = {" ".join(command): getattr(reply, "word", reply)
                 for command, reply in zip(commands, link.exchange(commands), strict=True)}  # fmt: skip
    assert {command: word for command, word in words.items() if word != "NOPERM"} == {}


def test_dp_04_the_default_user_is_off(redis_job):
    assert b"user default off" in b"\n".join(redis_job.admin("ACL", "LIST"))
    with contextlib.closing(SyncLink(replace(redis_job.place(), user=None, password_file=None))) as link:
        commands = [
            ("PING",),
            ("GET", "x"),
            ("AUTH", "default", ""),
            ("AUTH", ""),
            ("RESET",),
            ("ACL", "WHOAMI"),
        ]
        assert [getattr(each, "word", each) for each in link.exchange(commands)] == [
            "NOAUTH", "NOAUTH", "WRONGPASS", "WRONGPASS", b"RESET", "NOAUTH",
        ]  # fmt: skip


def test_the_compat_role_has_what_the_port_for_the_original_client_needs(redis_job):
    job = redis_job.job.name
    redis_job.make_group()
    with contextlib.closing(SyncLink(redis_job.place("compat"))) as link:
        commands = [
            ("INFO",), ("XADD", job, "*", "uri", "u", "data", "x"), ("SCAN", 0),
            ("HGETALL", f"cluster-serving_{job}:u"),
            ("UNLINK", f"cluster-serving_{job}:u"), ("CLIENT", "SETNAME", "old"), ("SELECT", 0),
        ]  # fmt: skip
        assert [each for each in link.exchange(commands) if isinstance(each, Exception)] == []


def test_a_probe_sees_numbers_alone(redis_job):
    with redis_job.queue("worker") as worker, redis_job.queue("probe") as probe:
        worker.make_group()
        assert probe.backlog().records == 0
        assert probe.pending() == {}
        assert probe.consumers() == {}
        assert probe.dead_count() == 0
        assert probe.workers() == ()


@pytest.fixture
def served(redis_job):
    """Serve one record for the client ann, and one for ben."""
    with redis_job.queue("worker") as worker:
        worker.make_group()
        for name in ("ann", "ben"):
            with redis_job.queue(client=name) as client:
                client.admit({"uri": f"{name}/1", "data": "x"}, idempotency_key=f"{name}/k")
        for entry in worker.read("w", 5):
            uri = entry.fields[b"uri"].decode()
            reply = redis_job.job.reply(f"{uri.partition('/')[0]}/list")
            worker.complete_many([Completion(entry=entry, uri=uri, fields={"value": uri}, reply=reply)])
    return redis_job


def test_an_04_a_client_of_its_own_reads_and_deletes_only_its_own_results(served):
    job = served.job
    for me, other in (("ann", "ben"), ("ben", "ann")):
        commands = [
            ("HGETALL", job.result(f"{other}/1")), ("DEL", job.result(f"{other}/1")),
            ("UNLINK", job.result(f"{other}/1")),
            ("PEXPIRE", job.result(f"{other}/1"), 1), ("BLPOP", job.reply(f"{other}/list"), 0.01),
            ("LPOP", job.reply(f"{other}/list"), 5), ("HGETALL", job.result(f"{me}2/1")),
            ("HGETALL", job.result("plain")),
            ("HSET", job.idempotency(f"{other}/k"), "id", "1-1"),
        ]  # fmt: skip
        with contextlib.closing(SyncLink(served.place(client=me))) as link:
            assert {getattr(each, "word", each) for each in link.exchange(commands)} == {"NOPERM"}
    for me in ("ann", "ben"):
        with served.queue(client=me) as client:
            assert client.replies(f"{me}/list", wait_ms=1000) == [f"{me}/1"]
            assert client.result(f"{me}/1", forget=True) == {b"value": f"{me}/1".encode()}


def test_an_04_scripts_are_no_way_around_a_clients_own_keys(served):
    job = served.job
    steal = "return redis.call('HGETALL', KEYS[1])"
    hidden = f"return redis.call('HGETALL', '{job.result('ben/1')}')"
    with contextlib.closing(SyncLink(served.place(client="ann"))) as link:
        declared, undeclared = link.exchange([("EVAL", steal, 1, job.result("ben/1")), ("EVAL", hidden, 0)])
    assert declared.word == "NOPERM"
    assert "can't access at least one of the keys" in str(undeclared)


def test_d07_an_04_no_operation_of_a_queue_searches_keys(redis_job):
    """Redis counts how often each command was called: nothing that a client and a worker do is KEYS or SCAN."""
    redis_job.admin("CONFIG", "RESETSTAT")
    with redis_job.queue("worker") as worker, redis_job.queue() as client, redis_job.queue("frontend") as front:
        worker.make_group()
        client.admit({"uri": "u", "data": "x"}, idempotency_key="k")
        (entry,) = worker.read("w", 1)
        worker.complete_many([Completion(entry=entry, uri="u", fields={"value": "v"}, reply=redis_job.job.reply("me"))])
        client.replies("me", wait_ms=100)
        client.result("u", forget=True)
        client.forget(["u"])
        for each in (client, front):
            each.workers()
            each.backlog()
    called = redis_job.admin("INFO", "commandstats").lower()
    assert b"cmdstat_keys" not in called
    assert b"cmdstat_scan" not in called


def test_d05_no_password_and_no_key_is_in_redis_its_files_or_its_log(own_redis):
    redis = own_redis()
    with redis.queue("worker") as worker, redis.queue() as client:
        worker.make_group()
        client.admit({"uri": "canary-uri", "data": "x"})
    redis.admin("SAVE")
    home = redis.server.home.folder
    users = list((home / "users").iterdir())
    secrets = [path.read_bytes() for path in users if path.suffix in {".password", ".key"}]
    assert len(secrets) == 2 * len(Role)
    dump = (home / "data" / "dump.rdb").read_bytes()
    assert b"canary-uri" in dump
    shown = dump + (home / "users.acl").read_bytes() + (home / "redis.conf").read_bytes()
    shown += redis.server.home.log.read_bytes() + b"".join(redis.admin("ACL", "LIST"))
    assert not any(each in shown for each in secrets)


def test_a_client_can_load_its_script_after_redis_has_lost_it(redis_job):
    redis_job.make_group()
    redis_job.admin("SCRIPT", "FLUSH")
    with Queue(redis_job.place(), redis_job.job) as client:
        client.admit({"uri": "u", "data": "x"})
    assert redis_job.admin("SCRIPT", "EXISTS", ADMIT.sha) == [1]
