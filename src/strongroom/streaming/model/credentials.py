"""A worker's password for Redis and its TLS key as sealed files: the host that has the files cannot use them.

World: two small files, the broker. They are sealed in Gramine's format (strongroom queue seal) under a key that the
broker releases to the attested worker, and opened in memory. Nothing of this is needed where the host may know them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom import sealing
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.serving.operations.identity import obtain_secret, platform_of
from strongroom.serving.operations.readiness import Readiness
from strongroom.serving.threads import in_thread
from strongroom.streaming.model import trust

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

WRAP_KEY_BYTES: Final = 16
MAX_CREDENTIAL_BYTES: Final = 64 * 1024
_MAX_SEALED_BYTES: Final = 2 * MAX_CREDENTIAL_BYTES


def stored_path(job: str, name: str) -> str:
    """Return the path that a sealed file of a job's workers is bound to: no other file can take its place."""
    return f"queue/{job}/{name}"


async def open_credentials(
    config: QueueConfig, *, environ: Mapping[str, str] | None = None, readiness: Readiness | None = None
) -> dict[str, Secret]:
    """Return what the configuration's sealed files hold, by their paths as written there; nothing without any.

    The files are `redisPasswordFile` and `redisKeyFile`, and `credentialsSealed` says that they are sealed.
    Raises NoBroker, KeyNotReleased, BrokerNotReached, PlatformAbsent, FileTooLong, OSError, what `sealing` raises.
    """
    paths = [path for path in (config.redis_password_file, config.redis_key_file) if path]
    if not config.credentials_sealed or not paths:
        return {}
    broker = trust.by_name(trust.broker_of(config), "sealed credentials")
    platform = platform_of(os.environ if environ is None else environ)
    key = (await obtain_secret(broker, platform, trust.credentials_secret(config), readiness=readiness)).secret
    try:
        sealing.check_wrap_key(key)
        return {
            path: await in_thread(partial(_open, config.job_name, path, key), name="open credentials") for path in paths
        }
    finally:
        key.wipe()


def _open(job: str, path: str, key: Secret) -> Secret:
    data = disk.read_bounded(Path(path), limit=_MAX_SEALED_BYTES)
    return Secret(sealing.unseal_bytes(data, key, stored_path=stored_path(job, Path(path).name)))
