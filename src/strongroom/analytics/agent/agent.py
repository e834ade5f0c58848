"""Hold keys for the processes below, and give them what names the place: a socket, and a file with Spark's secret.

World: a folder in memory, the broker, threads. What the processes below see in their environment are paths.
"""

from __future__ import annotations

import ctypes
import resource
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom.analytics.agent.admission import Asked, obtain_job_secret, obtain_keys, platform_of
from strongroom.analytics.agent.events import Events
from strongroom.analytics.agent.server import listening
from strongroom.analytics.agent.tokens import TOKENS, TOKENS_VARIABLE, token_file
from strongroom.analytics.keys.broker import BrokerKeys
from strongroom.analytics.keys.opening import AGENT_VARIABLE
from strongroom.analytics.keys.service import KeyService
from strongroom.analytics.session import places
from strongroom.analytics.session.surroundings import SECRET_FILE_VARIABLE
from strongroom.datasets.wrapping import application_secret
from strongroom.pki import disk
from strongroom.secret import Secret

SOCKET: Final = "agent.sock"
SPARK_SECRET: Final = "spark"  # noqa: S105  # a file's name
_PR_SET_DUMPABLE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Where keys are asked for, and where Spark's secret of this application is (None without a job)."""

    folder: Path
    socket: Path
    secret_file: Path | None = None
    seconds: float = 0.0  # from the first word to the broker to the last key
    variables: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Say it as variables of the environment: paths alone."""
        found = {AGENT_VARIABLE: str(self.socket)}
        if self.secret_file is not None:
            found[SECRET_FILE_VARIABLE] = str(self.secret_file)
            found[TOKENS_VARIABLE] = str(self.folder / TOKENS)
        object.__setattr__(self, "variables", found)


def keep_memory_private() -> None:
    """Let no crash of this process write its keys to a disk, nor another process of this user look into it.

    A program that is started from it can be looked into again: Java is told by its own words.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # also where the kernel pipes core dumps to a program


@contextmanager
def serving(
    keys: KeyService, *, job_secret: Secret | None = None, application: str = "", memory: Path | None = None,
    events: Events | None = None, seconds: float = 0.0,
) -> Iterator[Held]:  # fmt: skip
    """Answer for keys while the block runs. Raises NoMemoryFolder, BadPrimaryKey.

    `application`: what driver and executors of one application agree on, which all may know.
    """
    told = events or Events(None)
    with places.private_folder(memory) as folder:
        secret_file = None
        if job_secret is not None:
            secret_file = folder / SPARK_SECRET
            secret = application_secret(job_secret, application).encode()
            disk.replace_private(secret_file, secret)
            disk.replace_private(folder / TOKENS, token_file(secret))
        with listening(keys, folder / SOCKET, told.used) as server:
            server.start()
            yield Held(folder=folder, socket=folder / SOCKET, secret_file=secret_file, seconds=seconds)


@contextmanager
def attested(
    asked: Asked, environ: Mapping[str, str], *, application: str = "", memory: Path | None = None,
    events: Events | None = None,
) -> Iterator[Held]:  # fmt: skip
    """Prove what this process is, and answer with what was released to it while the block runs.

    `application`: as for `serving`; the job's own name where it is empty. Raises PlatformAbsent, NotAdmitted,
    NoMemoryFolder, or what asking a broker raises.
    """
    told, platform, began = events or Events(None), platform_of(environ), time.monotonic()
    places.memory_folder(memory)  # before anything is released
    with ThreadPoolExecutor(2, "admission") as asking:  # each is a session of its own with the broker
        wanted = asking.submit(obtain_job_secret, asked, platform) if asked.job else None
        keys = obtain_keys(asked, platform)
    try:
        job_secret = wanted.result() if wanted is not None else None
        seconds = time.monotonic() - began
        told.admitted(asked, platform, seconds, lease_s=keys.lease_s if isinstance(keys, BrokerKeys) else 0.0)
        with serving(
            keys, job_secret=job_secret, application=application or asked.job, memory=memory, events=told,
            seconds=seconds,
        ) as held:  # fmt: skip
            if job_secret is not None:
                job_secret.wipe()
            yield held
    finally:
        keys.close()
