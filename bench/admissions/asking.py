"""How simulated replicas ask: all at once, so many at a time, at a steady rate; and the bad neighbours beside them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass

from admissions.estate import Replica
from strongroom.broker.tls import MAX_HANDSHAKE_BYTES, TlsFailed, TlsPeer
from strongroom.gramine import provisioning

_RAW_BYTES = 64 * 1024


@dataclass(slots=True)
class Answer:
    """What one replica got, and when it asked and got it (seconds)."""

    replica: Replica
    secret: bytes | None
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """From connecting to the end."""
        return self.ended - self.began


async def ask(port: int, replica: Replica) -> Answer:
    """Ask once, as a replica does; None for the secret where the broker closed."""
    began = time.perf_counter()
    tls = TlsPeer(replica.context, server=False, name="localhost", max_bytes=MAX_HANDSHAKE_BYTES + _RAW_BYTES)
    protocol = provisioning.Client()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return Answer(replica, await _dialogue(tls, protocol, reader, writer), began, time.perf_counter())
    except (TlsFailed, OSError, EOFError):
        return Answer(replica, None, began, time.perf_counter())
    finally:
        writer.close()


async def _dialogue(
    tls: TlsPeer, protocol: provisioning.Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bytes:
    async def receive() -> None:
        writer.write(tls.outgoing())
        data = await reader.read(_RAW_BYTES)
        if not data:
            raise EOFError
        tls.feed(data)

    while not tls.handshake():
        await receive()
    tls.write(protocol.request())
    while True:
        data = tls.read()
        if data is None:
            await receive()
        elif not data:
            raise EOFError
        else:
            for event in protocol.receive(data):
                with event.secret.reveal() as raw:
                    return bytes(raw)


async def storm(port: int, replicas: Sequence[Replica]) -> list[Answer]:
    """Let all ask at once."""
    return list(await asyncio.gather(*(ask(port, each) for each in replicas)))


Asking = Callable[[int, Replica], Coroutine[None, None, Answer]]


async def several(port: int, replicas: Sequence[Replica], at_once: int, asking: Asking = ask) -> list[Answer]:
    """Let them ask, so many at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(replica: Replica) -> Answer:
        async with free:
            return await asking(port, replica)

    return list(await asyncio.gather(*(one(each) for each in replicas)))


async def paced(port: int, replicas: Sequence[Replica], per_second: int) -> list[Answer]:
    """Let them ask at a steady rate, whoever is still waiting."""
    start, tasks = time.perf_counter(), []
    for number, replica in enumerate(replicas):
        await asyncio.sleep(max(0.0, start + number / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(port, replica)))
    return list(await asyncio.gather(*tasks))


async def handshake_only(port: int, replica: Replica) -> Answer:
    """Make one handshake with the floor's server."""
    began = time.perf_counter()
    tls = TlsPeer(replica.context, server=False, name="localhost", max_bytes=MAX_HANDSHAKE_BYTES)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while not tls.handshake():
            writer.write(tls.outgoing())
            tls.feed(await reader.read(_RAW_BYTES))
        await reader.read()  # until it has closed
    except ConnectionError:
        pass
    finally:
        writer.close()
    return Answer(replica, None, began, time.perf_counter())


def be_neighbours(port: int, count: int) -> int:
    """Be a process that holds connections open: every second one idles, the others send one byte a second."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512)
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    print(f"ready:{port}", flush=True)
    for byte in hello:
        for each in opened[::2]:
            with suppress(OSError):
                each.send(bytes([byte]))
        time.sleep(1)
    return 0
