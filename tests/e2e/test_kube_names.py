"""The name server of `make kube`, asked over its sockets by a client of its own, and fed by a small API server."""

import json
import random
import socket
import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from kube import dns_message, dns_server
from kube.dns_message import AAAA, CNAME, A, Code
from kube.dns_names import Zone

ADDRESSES = {"addresses": [{"ip": "10.244.0.5", "hostname": "a-0"}], "notReadyAddresses": [{"ip": "10.244.0.9"}]}


def service(name, spec, namespace="tf"):
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


@pytest.fixture
def zone():
    zone = Zone("cluster.local")
    for each in (
        service("web", {"type": "ClusterIP", "clusterIP": "10.96.7.8"}),
        service("pods", {"type": "ClusterIP", "clusterIP": "None"}),
        service("all-pods", {"clusterIP": "None", "publishNotReadyAddresses": True}),
        service("outside", {"type": "ExternalName", "externalName": "broker.example.com"}),
    ):
        zone.apply("services", {"type": "ADDED", "object": each})
    for name in ("pods", "all-pods"):
        event = {"type": "ADDED", "object": {**service(name, {}), "subsets": [ADDRESSES]}}
        zone.apply("endpoints", event)
    return zone


@pytest.fixture
def port(zone):
    servers = dns_server.listen(zone, "127.0.0.1", 0)
    yield servers[0].server_address[1]
    for server in servers:
        server.shutdown()
        server.server_close()


def question(name, kind=A, number=4711):
    head = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0)
    return head + dns_message.encode_name(name) + struct.pack(">HH", kind, 1)


def read(data):
    """Return code and (kind, value bytes) of every record, by RFC 1035 4.1."""
    _, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", data)
    at = skip_name(data, 12) + 4
    records = []
    for _ in range(count):
        at = skip_name(data, at)
        kind, _, _, size = struct.unpack_from(">HHIH", data, at)
        records.append((kind, data[at + 10 : at + 10 + size]))
        at += 10 + size
    assert at == len(data)
    return flags & 15, records


def skip_name(data, at):
    while data[at]:
        at += 1 + data[at]
    return at + 1


def ask(port, name, kind=A):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        udp.sendto(question(name, kind), ("127.0.0.1", port))
        code, records = read(udp.recv(4096))
    return code, [socket.inet_ntoa(value) if kind == A else value for kind, value in records]


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("web.tf.svc.cluster.local", ["10.96.7.8"]),
        ("WEB.tf.svc.Cluster.LOCAL", ["10.96.7.8"]),
        ("pods.tf.svc.cluster.local", ["10.244.0.5"]),
        ("all-pods.tf.svc.cluster.local", ["10.244.0.5", "10.244.0.9"]),
        ("a-0.pods.tf.svc.cluster.local", ["10.244.0.5"]),
    ],
    ids=["address of a service", "case does not count", "headless: ready pods", "unready ones too", "one named pod"],
)
def test_a_name_of_a_service_has_its_addresses(port, name, addresses):
    assert ask(port, name) == (Code.OK, addresses)


def test_an_external_name_is_another_name(port):
    assert ask(port, "outside.tf.svc.cluster.local") == (Code.OK, [b"\6broker\7example\3com\0"])


def test_a_service_without_an_address_of_the_kind_is_there_all_the_same(port):
    assert ask(port, "web.tf.svc.cluster.local", AAAA) == (Code.OK, [])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("absent.tf.svc.cluster.local", Code.NO_SUCH_NAME),
        ("web.other.svc.cluster.local", Code.NO_SUCH_NAME),
        ("a-9.pods.tf.svc.cluster.local", Code.NO_SUCH_NAME),
        ("x.y.web.tf.svc.cluster.local", Code.NO_SUCH_NAME),
        ("web.tf.cluster.local", Code.NO_SUCH_NAME),
        ("example.com", Code.REFUSED),
    ],
)
def test_what_nobody_has_is_said_at_once(port, name, code):
    assert ask(port, name) == (code, [])


def test_a_question_over_tcp_has_the_same_answer(port):
    with socket.create_connection(("127.0.0.1", port), 10) as tcp:
        asked = question("web.tf.svc.cluster.local")
        tcp.sendall(struct.pack(">H", len(asked)) + asked)
        reply = tcp.makefile("rb")
        (size,) = struct.unpack(">H", reply.read(2))
        assert read(reply.read(size)) == (0, [(A, socket.inet_aton("10.96.7.8"))])


def test_a_deleted_service_is_gone_and_a_changed_one_has_its_new_address(zone):
    zone.apply("services", {"type": "MODIFIED", "object": service("web", {"clusterIP": "10.96.1.1"})})
    asked = dns_message.parse(question("web.tf.svc.cluster.local"))
    assert [record.value for record in zone.resolve(asked)[1]] == ["10.96.1.1"]
    zone.apply("services", {"type": "DELETED", "object": service("web", {})})
    zone.apply("services", {"type": "BOOKMARK", "object": {}})
    assert zone.resolve(asked) == (Code.NO_SUCH_NAME, [])


def test_an_answer_that_fits_no_datagram_says_that_it_was_cut():
    asked = dns_message.parse(question("pods.tf.svc.cluster.local"))
    records = [dns_message.Record(asked.name, A, f"10.244.0.{number}") for number in range(100)]
    cut = dns_message.answer(asked, Code.OK, records)
    assert len(cut) <= dns_message.MAX_UDP_BYTES
    assert struct.unpack_from(">H", cut, 2)[0] & 0x0200
    assert len(read(cut)[1]) > 5
    assert struct.unpack_from(">H", dns_message.answer(asked, Code.OK, records[:1]), 2)[0] & 0x0200 == 0


def test_kinds_that_were_asked_for_are_all_that_is_answered(zone):
    found = zone.resolve(dns_message.parse(question("outside.tf.svc.cluster.local", CNAME)))
    assert [record.kind for record in found[1]] == [CNAME]


def test_bytes_that_are_no_question_are_dropped(zone):
    chance = random.Random(7)
    good = question("web.tf.svc.cluster.local")
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        reply = dns_server.respond(zone, bytes(data[: chance.randrange(len(data) + 1)]))
        assert reply is None or len(reply) <= dns_message.MAX_UDP_BYTES
    assert dns_server.respond(zone, b"") is None
    assert dns_server.respond(zone, good[:-1]) is None
    assert dns_server.respond(zone, struct.pack(">HHHHHH", 1, 0x8100, 1, 0, 0, 0) + good[12:]) is None


def test_services_are_listed_and_then_watched(zone):
    class Replies(dns_server.Api):
        def __init__(self):
            self.paths = []

        def _request(self, path, timeout_s):
            self.paths.append(path)
            listed = {"metadata": {"resourceVersion": "41"}, "items": [service("one", {"clusterIP": "10.96.0.9"})]}
            added = {"type": "ADDED", "object": service("two", {"clusterIP": "10.96.0.10"})}
            lines = [listed] if "watch" not in path else [added, {"type": "ERROR", "object": {"code": 410}}]
            return Reply(json.dumps(line).encode() + b"\n" for line in lines)

    class Reply(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self):
            return self[0]

    replies = Replies()
    replies.follow(zone, "services")
    assert sorted(zone.services) == [("tf", "one"), ("tf", "two")]
    assert "resourceVersion=41" in replies.paths[1]
