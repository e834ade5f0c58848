"""HTTP/1.1 from bytes: any split, every limit, and what ends a connection."""

import gzip
import tracemalloc
import zlib

import pytest

from strongroom.serving.http1 import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    Refusal,
    Request,
    RequestReader,
    plain_body,
)

POST = b"POST /v1/models/m:predict?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


def zipped(data):
    return gzip.compress(data, mtime=0)  # the same bytes in every process


def read(*parts, limit=1000):
    reader = RequestReader(max_body_bytes=limit)
    return [found for part in parts for found in reader.receive(part)]


def request(body=b"", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method="POST", target=b"/", headers=names, body=body, keep_alive=True)


@pytest.mark.parametrize("data", [POST, CHUNKED])
def test_every_split_gives_the_same_request(data):
    (whole,) = read(data)
    assert whole.body == b"hello"
    assert whole.keep_alive
    for at in range(1, len(data)):
        assert read(data[:at], data[at:]) == [whole]
    assert read(*(data[at : at + 1] for at in range(len(data)))) == [whole]


def test_repeated_headers_are_joined_in_lower_case():
    assert read(POST)[0].headers == {"host": "a", "content-length": "5", "x-a": "1, 2"}


def test_pipelined_requests_come_in_order():
    found = read(POST + CHUNKED + b"GET /x HTTP/1.0\r\n\r\n")
    assert [each.target for each in found] == [b"/v1/models/m:predict?x=1", b"/p", b"/x"]
    assert [each.keep_alive for each in found] == [True, True, False]


def test_connection_close_is_heard():
    assert not read(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")[0].keep_alive


def test_progress_is_told_for_deadlines():
    reader = RequestReader(max_body_bytes=10)
    assert not reader.arriving
    reader.receive(b"POST / HTTP/1.1\r\n")
    assert reader.arriving
    assert not reader.in_body
    reader.receive(b"Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nab")
    assert reader.in_body
    assert reader.wants_continue
    assert reader.body_bytes == 2
    reader.receive(b"cde")
    assert not reader.arriving
    assert not reader.wants_continue


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_wish_for_another_protocol_is_answered_in_this_one_and_ends_the_connection(data):
    reader = RequestReader(max_body_bytes=1000)
    (found,) = reader.receive(data + POST)
    assert not found.keep_alive
    assert reader.receive(POST) == []


BROKEN = [
    (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    (b"HELLO\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"GET / HTTP/1.1\r\nBad Header\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001, 413),
    (b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(MAX_HEADERS + 1)) + b"\r\n", 431),
]


@pytest.mark.parametrize(("data", "status"), BROKEN, ids=[repr(data[:60]) for data, _ in BROKEN])
def test_sv_12_what_breaks_a_rule_ends_the_connection_with_one_refusal(data, status):
    reader = RequestReader(max_body_bytes=1000)
    found = reader.receive(data)
    assert [type(each) for each in found] == [Refusal]
    assert found[0].status == status
    assert reader.receive(POST) == []


def test_what_came_before_the_breach_is_kept():
    found = read(POST + b"\x00\x00")
    assert found[0].body == b"hello"
    assert isinstance(found[1], Refusal)


def test_bodies_may_be_gzip_with_several_members():
    packed = gzip.compress(b"hel") + gzip.compress(b"lo")
    assert plain_body(request(packed, content_encoding="GZIP"), max_bytes=100) == b"hello"
    assert plain_body(request(b"hello"), max_bytes=100) == b"hello"
    assert plain_body(request(gzip.compress(b""), content_encoding="gzip"), max_bytes=100) == b""


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [(b"", "gzip", 400), (b"not gzip", "gzip", 400), (zipped(b"hello")[:-1], "gzip", 400),
     (zipped(b"hello") + b"rest", "gzip", 400), (zlib.compress(b"hello"), "deflate", 415), (b"x", "br", 415),
     (zipped(b"h" * 101), "gzip", 413), (zipped(b"h" * 60) * 2, "gzip", 413)],
)  # fmt: skip
def test_other_encodings_are_refused(body, encoding, status):
    answer = plain_body(request(body, content_encoding=encoding), max_bytes=100)
    assert isinstance(answer, Refusal)
    assert answer.status == status


def test_sv_12_a_gzip_bomb_does_not_expand():
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    tracemalloc.start()
    answer = plain_body(request(bomb, content_encoding="gzip"), max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status == 413
    assert peak < 5_000_000


def large(size, extra=b""):
    body = bytes(range(256)) * (size // 256)
    return b"POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), extra, body), body


def in_place(reader, data, step):
    """Read as a connection does: to the place that the reader has for the next bytes, if it has one."""
    found, at, placed = [], 0, 0
    while at < len(data):
        piece = data[at : at + step]
        if (place := reader.place) is not None:
            place = place[:step]
            piece = data[at : at + len(place)]
            place[: len(piece)] = piece
            placed += len(piece)
            found += reader.receive(place[: len(piece)])
        else:
            found += reader.receive(memoryview(bytearray(piece)))
        at += len(piece)
    return found, placed


@pytest.mark.parametrize("step", [1000, 16 * 1024 - 1, 256 * 1024])
@pytest.mark.parametrize("read_to_place", [False, True])
def test_large_bodies_arrive_whole_however_they_are_split_and_the_next_request_is_read(step, read_to_place):
    data, body = large(1024 * 1024)
    reader = RequestReader(max_body_bytes=2**20)
    stream = data + POST + data + CHUNKED
    if read_to_place:
        found, placed = in_place(reader, stream, step)
        assert placed > len(body)  # most of both
    else:
        found = [each for at in range(0, len(stream), step) for each in reader.receive(stream[at : at + step])]
    assert [each.target for each in found] == [b"/large", b"/v1/models/m:predict?x=1", b"/large", b"/p"]
    assert [bytes(each.body) for each in found] == [body, b"hello", body, b"hello"]
    assert all(each.keep_alive and each.method == "POST" for each in found)
    assert not reader.arriving
    assert reader.body_bytes == 0


def test_a_large_body_keeps_what_its_head_says():
    data, body = large(512 * 1024, b"Connection: close\r\nX-A: 1\r\n")
    reader = RequestReader(max_body_bytes=2**20)
    reader.receive(data[: 128 * 1024])
    assert reader.in_body
    assert reader.place is not None
    (found,) = reader.receive(data[128 * 1024 :])
    assert (found.keep_alive, found.headers["x-a"], bytes(found.body)) == (False, "1", body)
    with pytest.raises(TypeError):
        found.body[0] = 1


def test_sv_12_memory_is_reserved_for_what_comes_not_for_what_is_announced():
    reader = RequestReader(max_body_bytes=2**40)
    tracemalloc.start()
    reader.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % 2**39)
    reader.receive(bytes(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reader.place is None
    assert peak < 1_000_000


def test_sv_12_a_body_that_is_forgotten_has_no_place():
    data, _ = large(512 * 1024)
    reader = RequestReader(max_body_bytes=2**20)
    reader.receive(data[: 128 * 1024])
    reader.ended = True
    reader.forget()
    assert reader.place is None
    assert reader.body_bytes == 0
    assert reader.receive(data[128 * 1024 :]) == []


def test_chunked_bodies_are_left_to_the_parser():
    body = bytes(512 * 1024)
    data = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n80000\r\n" + body + b"\r\n0\r\n\r\n"
    reader = RequestReader(max_body_bytes=2**20)
    assert reader.receive(data[: 128 * 1024]) == []
    assert reader.place is None
    (found,) = reader.receive(data[128 * 1024 :])
    assert found.body == body
