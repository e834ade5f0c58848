"""A peer of an HTTP/2 session that may say anything: frames by hand, headers by the hpack package."""

import struct
from typing import NamedTuple

import hpack

from strongroom.serving.http2 import PREFACE, Request

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20

POST = ((":method", "POST"), (":scheme", "http"), (":path", "/s/m"), (":authority", "host"))
GRPC = (*POST, ("content-type", "application/grpc"), ("te", "trailers"))


class Frame(NamedTuple):
    """A frame as it lies on the wire."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind, flags, stream, payload=b"", *, length=None):
    """Return the bytes of a frame; `length` may lie."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs, flags=0):
    return frame(SETTINGS, flags, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def message(data, *, flag=0, length=None):
    """Return a gRPC message in its framing; `length` may lie."""
    return bytes([flag]) + struct.pack(">I", len(data) if length is None else length) + data


class Peer:
    """A client's side, connected to a session without a network."""

    def __init__(self, session, *, greet=True):
        self.session, self.now = session, 0.0
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.events, self.frames, self._left = [], [], b""
        if greet:
            self.say(PREFACE + settings())
            self.listen()

    def say(self, *parts):
        """Send bytes; return the events of this round."""
        events = self.session.receive(b"".join(parts), self.now)
        self.events += events
        return events

    def listen(self, limit=1 << 30):
        """Return the frames the session sends now."""
        self._left += self.session.send(limit)
        found = []
        while len(self._left) >= 9:
            size = int.from_bytes(self._left[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", self._left[3:9])
            found.append(Frame(kind, flags, stream, self._left[9 : 9 + size]))
            self._left = self._left[9 + size :]
        self.frames += found
        return found

    def block(self, headers):
        return self.encoder.encode(headers)

    def headers(self, stream, headers, *, end=False):
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(headers))

    def call(self, stream, data=b"abc", headers=GRPC):
        """Return the bytes of a whole unary gRPC call."""
        return self.headers(stream, headers) + frame(DATA, END_STREAM, stream, message(data))

    def request(self, stream, data=b"abc", headers=GRPC):
        """Make a call; return its Request."""
        (event,) = self.say(self.call(stream, data, headers))
        assert type(event) is Request
        return event

    def answers(self, found=None):
        """Return {stream: (list of header lists, body, ended, reset code)} of what the session has sent."""
        answers = {}
        for kind, flags, stream, payload in self.listen() if found is None else found:
            if kind not in {DATA, HEADERS, RST_STREAM}:
                continue
            blocks, body, ended, reset = answers.get(stream, ([], b"", False, None))
            if kind == HEADERS:
                blocks = [*blocks, self.decoder.decode(payload)]
            elif kind == DATA:
                body += payload
            else:
                reset = int.from_bytes(payload, "big")
            answers[stream] = (blocks, body, ended or (kind != RST_STREAM and bool(flags & END_STREAM)), reset)
        return answers

    def goaway(self):
        """Return the error code of the GOAWAY that the session sends now, or None."""
        codes = [int.from_bytes(f.payload[4:8], "big") for f in self.listen() if f.kind == GOAWAY]
        return codes[-1] if codes else None

    def resets(self):
        """Return {stream: error code} of the RST_STREAM frames that the session sends now."""
        return {f.stream: int.from_bytes(f.payload, "big") for f in self.listen() if f.kind == RST_STREAM}
