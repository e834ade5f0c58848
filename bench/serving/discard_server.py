"""The floor of receiving over TLS: a uvloop server that throws away what it gets, one byte back for each `size` bytes.

Run by the bench. Arguments: port, folder of the PEM files, size. This is the cheapest way that Python has to receive:
a `BufferedProtocol`, whose buffer TLS decrypts into.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

import uvloop


class Discard(asyncio.BufferedProtocol):
    def __init__(self, size: int) -> None:
        self._size, self._seen = size, 0
        self._buffer = memoryview(bytearray(1 << 18))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # a stream's transport is one

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._seen += nbytes
        while self._seen >= self._size:
            self._seen -= self._size
            self._transport.write(b"\0")


async def main(port: int, folder: str, size: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
    server = await asyncio.get_running_loop().create_server(lambda: Discard(size), "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
