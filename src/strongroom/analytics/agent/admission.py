"""Prove what this process is, and have what the owner releases to it: primary keys, and the secret of its job.

World: the broker, the platform. A refusal is final; a broker that is not reached is asked again until the time is over.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from strongroom import platforms
from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyService
from strongroom.broker import kbs_client
from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.names import DEFAULT_TENANT, SecretKind, SecretName
from strongroom.datasets.key_ring import KeyRing
from strongroom.datasets.wrapping import check_primary_key
from strongroom.errors import Refused, Unreachable
from strongroom.pki import disk
from strongroom.platforms import Platform
from strongroom.secret import Secret

DATA_KEY: Final = "data-"  # secret/data-NAME
JOB_SECRET: Final = "spark-"  # noqa: S105  # a prefix: secret/spark-DEPLOYMENT
MAX_CA_BYTES: Final = 64 * 1024
ATTEMPT_S: Final = 15.0
WAIT_S: Final = 60.0
_PAUSE_S: Final = 0.5
Found = TypeVar("Found")


class NotAdmitted(Refused):
    """The broker did not release a secret to this process, which therefore does not start its program."""

    code = "SR-AGENT-REFUSAL"
    fix = "Ask the owner: strongroom ledger show has the broker's reason, strongroom policy trust admits a program."


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of which broker. `keys`: names of primary keys; `job`: the deployment whose secret Spark needs."""

    broker: str
    ca: Path
    keys: tuple[str, ...] = ()
    job: str = ""
    tenant: str = DEFAULT_TENANT
    deployment: str | None = None
    wait_s: float = WAIT_S

    @property
    def job_secret(self) -> SecretName:
        """The name of the job's secret at the broker. Raises BadSecretName."""
        return SecretName(SecretKind.SECRET, f"{JOB_SECRET}{self.job}")

    def read_ca(self) -> bytes:
        """Return the certificate that the broker's has to come from. Raises FileTooLong or OSError."""
        return disk.read_bounded(self.ca, limit=MAX_CA_BYTES)


def obtain_job_secret(asked: Asked, platform: Platform) -> Secret:
    """Return the secret of the job that this process belongs to. Raises NotAdmitted, BadPrimaryKey, Unreachable kin."""
    return check_primary_key(_obtain(asked, asked.job_secret, platform))


def obtain_keys(asked: Asked, platform: Platform) -> KeyService:
    """Return the primary keys that were asked for. Raises NotAdmitted, BadKeyRing, Unreachable kin."""
    rings = []
    for name in asked.keys:
        with _obtain(asked, SecretName(SecretKind.SECRET, f"{DATA_KEY}{name}"), platform).reveal() as raw:
            rings.append(KeyRing.parse(name, raw))
    return RingKeys(rings)


def _obtain(asked: Asked, name: SecretName, platform: Platform) -> Secret:
    ca_pem = asked.read_ca()

    def ask() -> Secret:
        return kbs_client.obtain(
            asked.broker, name, ca_pem=ca_pem, platform=platform, tenant=asked.tenant, deployment=asked.deployment,
            timeout_s=ATTEMPT_S, request_id=secrets.token_hex(8),
        ).secret  # fmt: skip

    return admitted(ask, asked.wait_s)


def platform_of(environ: Mapping[str, str]) -> Platform:
    """Return what vouches for this process. Raises PlatformAbsent: nothing goes without (threat AN-08)."""
    return platforms.detect(environ)


def admitted(ask: Callable[[], Found], wait_s: float) -> Found:
    """Ask until there is an answer, `wait_s` seconds long. Raises NotAdmitted, or what the broker's absence raised."""
    ends, pause = time.monotonic() + wait_s, threading.Event()
    while True:
        try:
            return ask()
        except BrokerRefused as problem:
            raise NotAdmitted(f"nothing was released to this process: {problem.sentence}") from None
        except Unreachable:
            if time.monotonic() >= ends:
                raise
        pause.wait(_PAUSE_S)
