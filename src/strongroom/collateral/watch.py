"""A deadline for a whole HTTP exchange: timeouts count between bytes, and a server may send one byte within each."""

from __future__ import annotations

import socket
import threading
from typing import Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool


class Watch:
    """Ends a connection when the whole answer takes too long: a server may send one byte within each timeout."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self.fired = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._drop()

    def watch(self, connection: socket.socket) -> socket.socket:
        """Take charge of a new connection."""
        with self._lock:
            self._drop()
            self._socket = connection.dup()  # TLS takes the original's descriptor away; shutdown reaches both
            if self.fired:  # while it was being made
                self._socket.shutdown(socket.SHUT_RDWR)
        return connection

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def stop(self) -> None:
        """End the connection now, and every later one."""
        self._timer.cancel()
        self._fire()

    def _fire(self) -> None:
        with self._lock:
            self.fired = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    self.fired = True  # it ended by itself meanwhile


def watched(pool: HTTPConnectionPool, watch: Watch) -> type[HTTPConnection]:
    """Return the pool's kind of connection, under watch."""
    base = HTTPSConnection if pool.scheme == "https" else HTTPConnection

    class Watched(base):  # type: ignore[valid-type,misc]  # one of two classes
        def _new_conn(self) -> socket.socket:
            return watch.watch(super()._new_conn())

    return Watched
