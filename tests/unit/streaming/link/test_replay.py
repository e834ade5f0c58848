"""What Redis confirmed is there after a kill: the rules of its users do not stand in the way of its own file."""

import contextlib
from dataclasses import replace

from strongroom.streaming.link.connection import SyncLink
from strongroom.streaming.link.replies import ReplyError


def test_what_a_script_wrote_survives_a_kill(own_redis):
    redis = own_redis(durable=True)
    redis.admin("EVAL", "redis.call('SET', KEYS[1], 'a'); redis.call('SET', KEYS[2], 'b')", 2, "one", "two")
    redis.server.kill()
    redis.server.start()
    assert (redis.admin("GET", "one"), redis.admin("GET", "two")) == (b"a", b"b")


def test_nobody_gets_in_without_a_user(own_redis):
    redis = own_redis()
    place = redis.place("worker")
    with contextlib.closing(SyncLink(replace(place, user=None, password_file=None))) as link:
        (reply,) = link.exchange([("GET", "one")])
        assert isinstance(reply, ReplyError)
        assert reply.word == "NOAUTH"
        (reply,) = link.exchange([("AUTH", "default", "")])
        assert isinstance(reply, ReplyError)
