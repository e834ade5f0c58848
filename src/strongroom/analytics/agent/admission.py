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
from strongroom.analytics.keys.broker import Broker, BrokerKeys
from strongroom.analytics.keys.rings import RingKeys
from strongroom.analytics.keys.service import KeyNotGranted, KeyService
from strongroom.broker import kbs_client
from strongroom.broker.gramine_client import BrokerRefused
from strongroom.broker.names import DEFAULT_TENANT, SecretKind, SecretName
from strongroom.datasets.wrapping import check_primary_key
from strongroom.errors import Refused, Unreachable
from strongroom.pki import disk
from strongroom.platforms import Platform
from strongroom.secret import Secret

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
    ca_pem = asked.read_ca()

    def ask() -> Secret:
        return kbs_client.obtain(
            asked.broker, asked.job_secret, ca_pem=ca_pem, platform=platform, tenant=asked.tenant,
            deployment=asked.deployment, timeout_s=ATTEMPT_S, request_id=secrets.token_hex(8),
        ).secret  # fmt: skip

    return check_primary_key(admitted(ask, asked.wait_s))


def obtain_keys(asked: Asked, platform: Platform) -> KeyService:
    """Return the primary keys that were asked for, on leases. Raises NotAdmitted, BadKeyRing, Unreachable kin."""
    if not asked.keys:
        return RingKeys(())
    broker = Broker(
        url=asked.broker, ca_pem=asked.read_ca(), platform=platform, tenant=asked.tenant, deployment=asked.deployment
    )
    return admitted(lambda: BrokerKeys(broker, asked.keys), asked.wait_s)


def platform_of(environ: Mapping[str, str]) -> Platform:
    """Return what vouches for this process. Raises PlatformAbsent: nothing goes without (threat AN-08)."""
    return platforms.detect(environ)


def admitted(ask: Callable[[], Found], wait_s: float) -> Found:
    """Ask until there is an answer, `wait_s` seconds long. Raises NotAdmitted, or what the broker's absence raised."""
    ends, pause = time.monotonic() + wait_s, threading.Event()
    while True:
        try:
            return ask()
        except (BrokerRefused, KeyNotGranted) as problem:
            raise NotAdmitted(f"nothing was released to this process: {problem.sentence}") from None
        except Unreachable:
            if time.monotonic() >= ends:
                raise
        pause.wait(_PAUSE_S)
