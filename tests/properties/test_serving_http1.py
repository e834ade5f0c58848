"""Any bytes, in any pieces, end in requests and at most one refusal; what is sent whole is read whole."""

import gzip
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.serving.http1 import Refusal, Request, RequestReader, plain_body

TOKEN = st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=8)
LINES = st.sampled_from([
    b"GET / HTTP/1.1\r\n", b"POST /v1/models/m:predict HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n",
    b"Content-Length: 30000\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n",
    b"Connection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
    b"\r", b"\n",
])  # fmt: skip
STREAMS = st.one_of(st.binary(max_size=300), st.lists(LINES, max_size=14).map(b"".join))


def pieces(data, cuts):
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[first:second] for first, second in itertools.pairwise(marks)]


def read(parts):
    reader = RequestReader(max_body_bytes=100)
    return [found for part in parts for found in reader.receive(part)]


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_are_read_alike_in_any_pieces(data, cuts):
    whole, split = read([data]), read(pieces(data, cuts))
    assert all(isinstance(each, Request) for each in whole[:-1])
    refused = [each.status for each in (*whole, *split) if isinstance(each, Refusal)]
    assert all(400 <= status < 500 for status in refused)
    if refused:  # a cut may lie before or after the byte that breaks a rule; what came before it is the same
        shorter = min(len(whole), len(split)) - 1
        assert whole[:shorter] == split[:shorter]
    else:
        assert whole == split


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.binary(max_size=100), st.dictionaries(TOKEN.map("x-{}".format), TOKEN, max_size=4)), max_size=4
    ),
    st.booleans(),
    st.lists(st.integers(0, 2000), max_size=6),
)
def test_what_is_sent_whole_is_read_whole(messages, chunked, cuts):
    stream = b""
    for body, headers in messages:
        lines = [b"POST /p HTTP/1.1", b"Host: a", *(f"{name}: {value}".encode() for name, value in headers.items())]
        if chunked:
            parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
            stream += b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""]) + parts + b"0\r\n\r\n"
        else:
            stream += b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""]) + body
    found = read(pieces(stream, cuts))
    assert [each.body for each in found] == [body for body, _ in messages]
    for each, (_, headers) in zip(found, messages, strict=True):
        assert headers.items() <= each.headers.items()


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_gzip_bodies_are_whole_or_refused(body, limit):
    request = Request(
        method="POST", target=b"/", headers={"content-encoding": "gzip"}, body=gzip.compress(body), keep_alive=True
    )
    answer = plain_body(request, max_bytes=limit)
    assert answer == body if len(body) <= limit else isinstance(answer, Refusal)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_said_to_be_gzip_are_bytes_or_a_refusal(body):
    request = Request(method="POST", target=b"/", headers={"content-encoding": "gzip"}, body=body, keep_alive=True)
    answer = plain_body(request, max_bytes=1000)
    assert isinstance(answer, Refusal | bytes)
