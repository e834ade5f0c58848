"""A relay on loopback that can stop carrying anything, without closing anything, and can break what it carries.

World: sockets and threads. It stands between a broker and its database, and between the brokers and their collateral.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close says RST, and drops what was not sent


class Wire:
    """Relays `port` of loopback, which it chooses, to `target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._stop_at: tuple[bytes, bool] | None = None
        self._stopped = threading.Event()
        self._links: set[_Link] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Carry nothing from now on, in neither direction."""
        self._flows.clear()

    def stall_at(self, words: bytes, *, behind: bool, within_s: float = 1.0) -> None:
        """Do the same once a client sends `words`, `within_s` at the latest: before they pass, or right behind them."""
        self._stopped.clear()
        self._stop_at = (words, behind)
        self._stopped.wait(within_s)
        self._stop_at = None
        self.stall()

    def _notice(self, data: bytes, behind: bool) -> None:
        wanted = self._stop_at
        if wanted is not None and wanted[1] == behind and wanted[0] in data:
            self._flows.clear()
            self._stopped.set()

    def flow(self) -> None:
        """Carry again, what was held back first."""
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection and forget what was held back."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            link.cut()

    def close(self) -> None:
        """Let go of the port and of everything."""
        self._listener.close()
        self._flows.set()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._open, args=(client,), daemon=True).start()

    def _open(self, client: socket.socket) -> None:
        self._flows.wait()
        try:
            link = _Link(client, socket.create_connection(("127.0.0.1", self._target)), self._flows, self._notice)
        except OSError:  # nobody listens there
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        with self._lock:
            self._links.add(link)
        link.carry()
        with self._lock:
            self._links.discard(link)


class _Link:
    """One connection and its other half."""

    def __init__(
        self, client: socket.socket, server: socket.socket, flows: threading.Event,
        notice: Callable[[bytes, bool], None],
    ) -> None:  # fmt: skip
        self._sockets = (client, server)
        self._notice = notice
        self._flows = flows
        self._is_cut = False

    def carry(self) -> None:
        """Carry both ways until both ends have ended."""
        client, server = self._sockets
        back = threading.Thread(target=self._one_way, args=(server, client), daemon=True)
        back.start()
        self._one_way(client, server)
        back.join()
        for each in self._sockets:
            if self._is_cut:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.close()

    def cut(self) -> None:
        """Wake whoever carries; nothing is sent any more."""
        self._is_cut = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RD)

    def _one_way(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source is self._sockets[0]:
                    self._notice(data, False)
                self._flows.wait()
                if self._is_cut:
                    return
                target.sendall(data)
                if source is self._sockets[0]:
                    self._notice(data, True)
        if not self._is_cut:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)
