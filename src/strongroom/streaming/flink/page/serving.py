"""Serve the page on this machine until told to stop: its certificate, its password, its listener.

World: sockets, signals, files. The folder holds a password (0600) that stays the same from start to start, and the
certificate to trust, which is made anew each time unless one is given.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes

from strongroom.broker.web.server import WebLimits, WebServer, tls_context
from strongroom.pki import disk, keys
from strongroom.pki.authority import Authority, Leaf
from strongroom.secret import Secret
from strongroom.streaming.flink.page.app import Page
from strongroom.streaming.flink.page.sessions import Sessions
from strongroom.streaming.flink.rest import Place

WORD_FILE: Final = "password"
CERTIFICATE: Final = "ca.pem"
DAYS: Final = 30
MAX_FILE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How the page is offered: under which names, on which port, and what may be done there."""

    folder: Path
    address: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    changes: bool = False
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What to tell the person who started the page."""

    url: str
    link: str
    password: Path
    fingerprint: str


def serve(place: Place, listening: Listening, *, ready: Callable[[Offered], object]) -> None:
    """Serve until SIGTERM or SIGINT. Raises NoFlinkCertificate, ServerKeyUnusable, LoosePermissions or OSError."""
    asyncio.run(_serve(place, listening, ready))


async def _serve(place: Place, listening: Listening, ready: Callable[[Offered], object]) -> None:
    place.context()  # what cannot work is said before anything listens
    folder = listening.folder
    folder.mkdir(mode=disk.SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    disk.check_private(folder)
    leaf, trusted = _certificate(listening)
    sessions = Sessions(_password(folder))
    page = Page(place, sessions, names=frozenset(name.lower() for name in listening.names), changes=listening.changes)
    context = tls_context(leaf.certificate_pem, leaf.key_pem)
    server = WebServer(page.application(), context, name="flink page", limits=WebLimits(connections=128))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = await server.start(listening.address, listening.port)
    disk.replace_public(folder / CERTIFICATE, trusted)
    url = f"https://{listening.names[0]}:{port}"
    fingerprint = keys.load_certificates(leaf.certificate_pem)[0].fingerprint(hashes.SHA256()).hex(":")
    ready(Offered(
        url=url, link=f"{url}/login#{sessions.new_link()}", password=folder / WORD_FILE, fingerprint=fingerprint
    ))  # fmt: skip
    try:
        await stop.wait()
    finally:
        await server.stop()


def _certificate(listening: Listening) -> tuple[Leaf, bytes]:
    if listening.certificate is not None and listening.key is not None:
        pem = disk.read_bounded(listening.certificate, limit=MAX_FILE_BYTES)
        return Leaf(certificate_pem=pem, key_pem=disk.read_secret(listening.key, limit=MAX_FILE_BYTES)), pem
    now = datetime.now(UTC)
    authority = Authority.create("Strongroom Flink page", now=now, days=DAYS + 1)
    return authority.issue_server(listening.names, now=now, days=DAYS), authority.certificate_pem


def _password(folder: Path) -> Secret:
    path = folder / WORD_FILE
    if not path.exists():
        disk.write_secret(path, Secret(secrets.token_urlsafe(18).encode() + b"\n"))
    found = disk.read_secret(path, limit=MAX_FILE_BYTES)
    with found.reveal() as raw:
        return Secret(raw.strip())
