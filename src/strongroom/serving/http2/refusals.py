"""What a session answers or says by itself; `codec/` says the same."""

from __future__ import annotations

from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """An answer without the application: an HTTP status, or for gRPC a status code and its text."""

    status: int
    grpc_code: int
    text: str


TOO_LARGE: Final = Refusal(413, 8, "the request's body is larger than this server takes")
TOO_MANY_HEADERS: Final = Refusal(431, 8, "the request's headers are more or larger than this server takes")
TOO_MUCH_HELD: Final = Refusal(503, 8, "this connection's requests hold more memory than this server gives one")
NO_MEMORY: Final = Refusal(503, 8, "the server holds as many requests as it can")
TOO_SLOW: Final = Refusal(408, 4, "the request took too long to arrive")
NO_TUNNELS: Final = Refusal(405, 12, "CONNECT is not for this server")

RESETS: Final = "too many streams were reset or malformed"
CONTROLS: Final = "too many frames that carry nothing"
CONTINUATIONS: Final = "a header block has too many frames"
HEADER_BLOCK: Final = "a header block is far larger than was announced"
SLOW_HEADERS: Final = "a header block took too long to arrive"
PRIORITY: Final = "PRIORITY: stream_id == 0"
NO_PREFACE: Final = "the peer does not speak HTTP/2"
ACKS: Final = "the peer does not read what it asks for"
LIBRARY: Final = "libnghttp2 could not go on"

MAX_CONTINUATIONS: Final = 16
HEADER_BLOCK_FACTOR: Final = 16  # a decoded header block so many times beyond its limit ends the connection
REQUEST_EARNS: Final = 8.0
EARNED_PER_BYTE: Final = 1 / 1024
SMALL_DATA_BYTES: Final = 256  # DATA frames below it, which do not end a stream, cost as control frames do
MAX_UNSENT_ACKS: Final = 1000
MAX_WAITING_BYTES: Final = 64 * 1024  # of frames made while reading; more stay in the library, which counts them
ACCEPT_ENCODING: Final = b"identity,gzip"
