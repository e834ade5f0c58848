"""Connections to Redis: whom we believe, who is believed, and what an absence is called."""

import asyncio
import contextlib
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from strongroom.clusterserving.access import DEFAULT_USER
from strongroom.clusterserving.config import QueueConfig
from strongroom.pki.authority import Authority
from strongroom.pki.keystores.entries import TrustedEntry
from strongroom.pki.keystores.jks import write_jks
from strongroom.pki.keystores.pkcs12 import write_trust_store
from strongroom.secret import Secret
from strongroom.streaming.link import replies
from strongroom.streaming.link.connection import (
    AsyncLink,
    NoRedisLibrary,
    Place,
    RedisAway,
    RedisPlaintext,
    RedisRefused,
    RedisSetup,
    RedisUnverified,
    SyncLink,
)
from strongroom.streaming.link.queue import Completion, Queue

PING = [("PING",)]


def ask_threads(place, commands):
    with contextlib.closing(SyncLink(place)) as link:
        return link.exchange(commands)


def ask_coroutines(place, commands):
    async def story():
        link = AsyncLink(place)
        try:
            return await link.exchange(commands)
        finally:
            await link.close()

    return asyncio.run(story())


@pytest.fixture(params=[ask_threads, ask_coroutines], ids=["threads", "coroutines"])
def ask(request):
    return request.param


@pytest.fixture
def place(redis_job):
    return redis_job.place("client")


def test_replies_come_in_order_and_errors_are_values(ask, place):
    found = ask(place, [("PING",), ("ECHO", "x"), ("PING", b"\x00\xff")])
    assert (found[0], found[2]) == (b"PONG", b"\x00\xff")
    assert found[1].word == "NOPERM"


def test_a_reply_larger_than_a_read_comes_whole(ask, redis_job):
    large = bytes(range(256)) * 8192
    assert ask(redis_job.place("admin"), [("ECHO", large), ("PING",)]) == [large, b"PONG"]


def test_d14_a_server_of_another_ca_is_not_believed(ask, place, tmp_path):
    other = Authority.create("another CA", now=datetime.now(UTC))
    (tmp_path / "ca.crt").write_bytes(other.certificate_pem)
    with pytest.raises(RedisUnverified) as caught:
        ask(replace(place, ca_file=str(tmp_path / "ca.crt")), PING)
    assert caught.value.code == "SR-REDIS-UNVERIFIED"


def test_d14_the_systems_cas_do_not_vouch_for_it(ask, place):
    with pytest.raises(RedisUnverified):
        ask(replace(place, ca_file=None), PING)


def test_d14_a_server_of_another_name_is_not_believed(ask, own_redis):
    place = own_redis(names=("localhost",)).place()
    assert ask(place, PING) == [b"PONG"]
    with pytest.raises(RedisUnverified):
        ask(replace(place, host="127.0.0.1"), PING)


def test_dp_04_who_shows_no_certificate_gets_nothing(ask, place):
    with pytest.raises((RedisRefused, RedisAway)):  # TLS 1.3: the alert may be overtaken by the end of the connection
        ask(replace(place, cert_file=None, key_file=None), PING)


def test_dp_04_a_wrong_password_is_refused(ask, place, tmp_path):
    (tmp_path / "password").write_text("guess")
    (tmp_path / "password").chmod(0o600)
    with pytest.raises(RedisRefused) as caught:
        ask(replace(place, password_file=str(tmp_path / "password")), PING)
    assert caught.value.code == "SR-REDIS-REFUSED"
    assert "guess" not in str(caught.value)


def test_dp_04_nobody_without_a_user_is_answered(ask, place):
    (reply,) = ask(replace(place, user=None, password_file=None), PING)
    assert reply.word == "NOAUTH"


def test_dp_04_plaintext_is_not_answered(redis_job):
    with socket.create_connection(("127.0.0.1", redis_job.server.home.port), timeout=10) as plain:
        plain.sendall(b"PING\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"PONG" not in plain.recv(100)


@pytest.mark.parametrize("host", ["redis.example.com", "10.0.0.1", "::2"])
def test_plaintext_leaves_this_machine_only_when_it_is_allowed(ask, host):
    with pytest.raises(RedisPlaintext) as caught:
        ask(Place(host=host), PING)
    assert caught.value.code == "SR-REDIS-PLAINTEXT"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_plaintext_on_this_machine_is_tried(host):
    SyncLink(Place(host=host)).close()
    SyncLink(Place(host="elsewhere", allow_plaintext=True)).close()


def test_nobody_there_is_said_as_such_and_nothing_was_sent(ask, place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(RedisAway) as caught:
            ask(replace(place, port=taken.getsockname()[1]), PING)
    assert caught.value.code == "SR-REDIS-AWAY"
    assert not caught.value.unsure


def test_a_file_that_is_missing_or_no_certificate_is_named(ask, place, tmp_path):
    (tmp_path / "junk").write_text("junk")
    for wrong in (
        replace(place, ca_file=str(tmp_path / "absent")),
        replace(place, ca_file=str(tmp_path / "junk")),
        replace(place, cert_file=str(tmp_path / "junk")),
        replace(place, password_file=str(tmp_path / "absent")),
    ):
        with pytest.raises(RedisSetup) as caught:
            ask(wrong, PING)
        assert caught.value.code == "SR-REDIS-SETUP"


def test_a_key_or_password_that_others_can_read_is_refused(ask, place):
    path = Path(place.password_file)
    path.chmod(0o644)
    with pytest.raises(Exception, match="other users") as caught:
        ask(place, PING)
    assert caught.value.code == "SR-LOOSE-PERMISSIONS"


def test_a_trust_store_is_read_whatever_its_form(ask, place, tmp_path):
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    der = x509.load_pem_x509_certificate(Path(place.ca_file).read_bytes()).public_bytes(Encoding.DER)
    password = tmp_path / "password"
    password.write_text("changeit1\n")
    password.chmod(0o600)
    entry = TrustedEntry(alias="ca", certificate=der)
    stores = {
        "trust.jks": write_jks([entry], Secret(b"changeit1"), now=datetime.now(UTC)),
        "trust.p12": write_trust_store([entry], Secret(b"changeit1")),
    }
    for name, data in stores.items():
        (tmp_path / name).write_bytes(data)
        trusting = replace(place, ca_file=str(tmp_path / name), trust_store_password_file=str(password))
        assert ask(trusting, PING) == [b"PONG"]
        with pytest.raises(RedisSetup):
            ask(replace(trusting, trust_store_password_file=None), PING)


def test_a_renewed_certificate_and_password_are_used_without_a_restart(redis_job, tmp_path):
    place = redis_job.place("client")
    copies = {name: tmp_path / name for name in ("ca_file", "cert_file", "key_file")}
    for name, path in copies.items():
        path.write_bytes(Path(getattr(place, name)).read_bytes())
        path.chmod(0o600)
    with contextlib.closing(SyncLink(replace(place, **{name: str(path) for name, path in copies.items()}))) as link:
        assert link.exchange(PING) == [b"PONG"]
        other = Authority.create("another CA", now=datetime.now(UTC))
        (tmp_path / "new").write_bytes(other.certificate_pem)
        (tmp_path / "new").replace(copies["ca_file"])
        assert link.exchange(PING) == [b"PONG"]  # a connection that is open stays
        link.close()
        with pytest.raises(RedisUnverified):
            link.exchange(PING)


def test_a_redis_takes_its_renewed_certificate_without_a_restart(own_redis):
    job = own_redis()
    home, server = job.server.home, job.server
    before = (home.folder / "tls" / "server.crt").read_bytes()
    home.renew(now=datetime.now(UTC))
    assert (home.folder / "tls" / "server.crt").read_bytes() != before
    server.reload()
    with contextlib.closing(SyncLink(job.place())) as link:
        assert link.exchange(PING) == [b"PONG"]


def test_a_unix_socket_is_reached(own_redis, ask):
    job = own_redis()
    path = job.server.home.folder / "s"
    conf = job.server.home.folder / "redis.conf"
    conf.write_text(conf.read_text() + f'unixsocket "{path}"\nunixsocketperm 700\n')
    users = job.server.home.folder / "users.acl"
    users.write_text(users.read_text().replace(DEFAULT_USER, "user default on nopass -@all +ping"))
    job.server.stop()
    job.server.start()
    assert ask(Place(unix=str(path)), PING) == [b"PONG"]


def test_a_peer_that_is_no_redis_is_an_absence(ask):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def babble():
            with listener.accept()[0] as talking:
                talking.recv(100)
                talking.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(RedisAway) as caught:
            ask(Place(host="127.0.0.1", port=listener.getsockname()[1]), PING)
        thread.join()
    assert caught.value.unsure


def test_a_peer_that_says_nothing_is_given_up(ask):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(RedisAway) as caught:
            ask(Place(host="127.0.0.1", port=listener.getsockname()[1], timeout_ms=50), PING)
    assert caught.value.unsure


def test_without_the_extra_one_sentence_says_what_to_install(ask, place, monkeypatch):
    monkeypatch.setattr(replies, "hiredis", None)
    with pytest.raises(NoRedisLibrary) as caught:
        ask(place, PING)
    assert caught.value.code == "SR-REDIS-LIBRARY"
    assert "strongroom[streaming]" in caught.value.fix


def test_a_place_is_what_the_configuration_says(redis_job):
    config, _ = QueueConfig.parse(redis_job.config_yaml("worker").encode())
    with Queue(Place.of(config), config.job) as queue:
        assert queue.make_group()


def test_a_command_that_no_redis_knows_is_named(redis_job):
    from strongroom.streaming.link.replies import ReplyError, meaning_of

    (reply,) = ask_threads(redis_job.place("admin"), [("NOSUCH",)])
    assert isinstance(reply, ReplyError)
    assert meaning_of(reply, "Redis").code == "SR-REDIS-REPLY"


def test_an_admission_whose_outcome_is_not_known_says_so(own_redis):
    """A relay ends the connection after the record has left: it may be in, and must not be sent twice by itself."""
    job = own_redis()
    worker, client = job.queue("worker"), job.place("client")
    worker.make_group()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        upstream = ("127.0.0.1", job.server.home.port)
        relay = threading.Thread(target=_relay_until_admitted, args=(listener, upstream, job))
        relay.start()
        relayed = replace(client, port=listener.getsockname()[1])
        with Queue(relayed, job.job) as through, pytest.raises(RedisAway) as caught:
            through.admit({"uri": "u", "data": "x"})
        relay.join()
    assert caught.value.unsure
    (entry,) = worker.read("w", 5)
    assert worker.complete_many([Completion(entry=entry, uri="u", fields={"value": "v"})]) == [True]
    worker.close()


def _relay_until_admitted(listener, upstream, job):
    """Carry bytes both ways until the stream holds a record, then end without giving the reply on."""
    import select

    with listener.accept()[0] as near, socket.create_connection(upstream) as far:
        other = {near: far, far: near}
        while True:
            for each in select.select([near, far], [], [], 10)[0]:
                data = each.recv(65536)
                if not data:
                    return
                if each is far and job.admin("XLEN", job.job.stream) == 1:
                    return
                other[each].sendall(data)
