"""A TLS certificate for a server that has none: a CA of its own, made once, and a fresh leaf at each start.

World: one folder, its keys readable by their owner alone. Clients pin `ca.pem`, which stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.pki import Authority
from strongroom.pki.disk import (
    PUBLIC_MODE,
    SECRET_MODE,
    check_private,
    new_file,
    new_folder,
    read_bounded,
    read_secret,
    write_public,
    write_secret,
)

MAX_PEM_BYTES: Final = 64 * 1024
CA_NAME: Final = "Strongroom local PCCS"
CA_FILE: Final = "ca.pem"
_CA_KEY: Final = "ca_key.pem"
_CERTIFICATE: Final = "server.pem"
_KEY: Final = "server_key.pem"


def self_made(folder: Path, names: Sequence[str], *, now: datetime) -> tuple[Path, Path]:
    """Return certificate and key (PEM files) for a server of these names, issued now; raise LoosePermissions."""
    if not (folder / _CA_KEY).exists():
        authority = Authority.create(CA_NAME, now=now)
        with new_folder(folder) as draft:
            write_public(draft / CA_FILE, authority.certificate_pem)
            write_secret(draft / _CA_KEY, authority.key_pem)
    check_private(folder)
    authority = Authority.load(
        read_bounded(folder / CA_FILE, limit=MAX_PEM_BYTES), read_secret(folder / _CA_KEY, limit=MAX_PEM_BYTES)
    )
    leaf = authority.issue_server(names, now=now)
    _replace(folder / _CERTIFICATE, leaf.certificate_pem, PUBLIC_MODE)
    with leaf.key_pem.reveal() as raw:
        _replace(folder / _KEY, raw, SECRET_MODE)
    return folder / _CERTIFICATE, folder / _KEY


def _replace(path: Path, content: bytes, mode: int) -> None:
    with new_file(path, mode, content) as draft:
        draft.replace(path)
