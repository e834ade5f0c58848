"""A replica's ssl.cfg, sealed under the key of the model version it serves, as in the reference solution.

World: one file. It is bound to `ssl/<name>/<version>/ssl.cfg`, so that it opens for that version and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from strongroom import sealing
from strongroom.bundles.manifest import check_model
from strongroom.pki import disk, ssl_cfg
from strongroom.pki.ssl_cfg import MAX_SSL_CFG_BYTES, SslConfig
from strongroom.secret import Secret

MAX_SEALED_BYTES = MAX_SSL_CFG_BYTES + 64 * 1024


def stored_path(name: str, version: int) -> str:
    """Return the path that the sealed ssl.cfg of a model version is bound to."""
    check_model(name, version)
    return f"ssl/{name}/{version}/ssl.cfg"


def seal_ssl_config(
    config: SslConfig, path: Path, *, name: str, version: int, key: Secret, entropy: Callable[[int], bytes]
) -> None:
    """Write `config` sealed to the new file `path`; raise `AlreadyThere`, `WeakKey` or `BadModelName`."""
    with config.render().reveal() as text:
        sealed = sealing.seal_bytes(text, key, stored_path=stored_path(name, version), entropy=entropy)
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write_public(path, sealed)


def open_ssl_config(path: Path, *, name: str, version: int, key: Secret) -> SslConfig:
    """Open a sealed ssl.cfg in memory; raises as `sealing.unseal_bytes` and `ssl_cfg.parse`."""
    sealed = disk.read_bounded(path, limit=MAX_SEALED_BYTES)
    return ssl_cfg.parse(sealing.unseal_bytes(sealed, key, stored_path=stored_path(name, version)))
