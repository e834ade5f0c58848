"""A worker's password for Redis and its TLS key as sealed files: the host that has the files cannot use them.

World: two small files, the broker. They are sealed in Gramine's format (strongroom queue seal) under a key that the
broker releases to the attested worker, and opened in memory. Nothing of this is needed where the host may know them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom import sealing
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.serving.operations.identity import obtain_secret, platform_of
from strongroom.serving.operations.readiness import Readiness
from strongroom.streaming.model import trust

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig

WRAP_KEY_BYTES: Final = 16
MAX_CREDENTIAL_BYTES: Final = 64 * 1024
_MAX_SEALED_BYTES: Final = 2 * MAX_CREDENTIAL_BYTES


def stored_path(job: str, name: str) -> str:
    """Return the path that a sealed file of a job's workers is bound to: no other file can take its place."""
    return f"queue/{job}/{name}"


@dataclass(frozen=True, slots=True)
class SealedCredentials:
    """What opens a worker's sealed files: each time that they are wanted, since they are renewed."""

    job: str
    key: Secret

    def read(self, path: str) -> Secret:
        """Return what a sealed file holds. Raises FileTooLong, OSError, what `sealing.unseal_bytes` raises."""
        data = disk.read_bounded(Path(path), limit=_MAX_SEALED_BYTES)
        return Secret(sealing.unseal_bytes(data, self.key, stored_path=stored_path(self.job, Path(path).name)))


async def open_credentials(
    config: QueueConfig, *, environ: Mapping[str, str] | None = None, readiness: Readiness | None = None
) -> SealedCredentials | None:
    """Return what opens `redisPasswordFile` and `redisKeyFile` where `credentialsSealed` is set, None where it is not.

    Raises NoBroker, KeyNotReleased, BrokerNotReached, PlatformAbsent, WeakKey.
    """
    if not config.credentials_sealed:
        return None
    broker = trust.by_name(trust.broker_of(config), "sealed credentials")
    platform = platform_of(os.environ if environ is None else environ)
    obtained = await obtain_secret(broker, platform, trust.credentials_secret(config), readiness=readiness)
    sealing.check_wrap_key(obtained.secret)
    return SealedCredentials(config.job_name, obtained.secret)
