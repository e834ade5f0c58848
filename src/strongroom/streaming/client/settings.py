"""How a client reaches its queue: the original's words (`host`, `port`, `name`), and what TLS and sealing need besides.

World: a config.yaml, where one is named; other files are read when a connection is made, and by `sealing`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from strongroom.clusterserving.config import QueueConfig
from strongroom.clusterserving.names import DEFAULT_JOB, Job
from strongroom.errors import BadInput
from strongroom.pki import disk
from strongroom.streaming.link.place import Place, RedisPlaintext

_log: Final = logging.getLogger("strongroom.queue.client")
DEFAULT_HOST: Final = "localhost"
DEFAULT_PORT: Final = 6379
MAX_CONFIG_BYTES: Final = 1024 * 1024
FORMS: Final = ("raw", "arrow")


class BadQueueOption(BadInput):
    """A client of the queue was given options that do not go together."""

    code = "SR-QUEUE-CLIENT-OPTION"
    fix = "docs/queue-clients.md lists the options of InputQueue, OutputQueue and Client."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of a client's options. `form`: how tensors are sent, raw bytes or the original's Arrow.

    `plaintext`: no TLS, for an original server on this machine; refused for any other host. `original`: the server is
    the original's, which knows uri and data alone and is asked for results again and again. `timeout_s` is of one
    answer of Redis, `wait_s` how long a result is waited for where nobody says otherwise. `own`: the name of a client
    with a user of its own, which stands before all its uris: Redis lets nobody else read their results.
    """

    place: Place
    job: Job
    form: str = "raw"
    original: bool = False
    client: str | None = None
    own: str | None = None
    seal_to: Path | None = None
    owner_key: Path | None = None
    version: int | None = None  # of the model, where the key file leaves it open
    wait_s: float = 30.0

    @classmethod
    def of(cls, options: Mapping[str, Any], *, form: str) -> Self:
        """Return the settings that keyword arguments say; `config` names a config.yaml that they add to.

        Raises BadQueueOption, RedisPlaintext, BadJobName.
        """
        known = dict(options)
        if (config := known.pop("config", None)) is not None:
            return cls.from_config(_read_config(Path(config)), known)
        plaintext, original = bool(known.pop("plaintext", False)), bool(known.pop("original", False))
        tls = not plaintext if known.get("tls") is None else bool(known["tls"])
        place = Place(
            host=str(known.pop("host", None) or DEFAULT_HOST), port=_port(known.pop("port", None)), tls=tls,
            unix=_text(known.pop("unix", None)), user=_text(known.pop("username", None)),
            password_file=_text(known.pop("password_file", None)), ca_file=_text(known.pop("ca", None)),
            cert_file=_text(known.pop("cert", None)), key_file=_text(known.pop("key", None)),
            timeout_ms=int(1000 * float(known.pop("timeout", None) or 5)),
        )  # fmt: skip
        known.pop("tls", None)
        _check_plaintext(place, plaintext=plaintext)
        form = "arrow" if original else str(known.pop("form", None) or form)
        seal_to, owner_key = known.pop("seal_to", None), known.pop("owner_key", None)
        settings = cls(
            place=place, job=Job(str(known.pop("name", None) or DEFAULT_JOB)), form=form, original=original,
            client=_text(known.pop("client", None)), own=_text(known.pop("own", None)),
            seal_to=Path(seal_to) if seal_to else None, owner_key=Path(owner_key) if owner_key else None,
            version=known.pop("version", None), wait_s=float(known.pop("wait_s", None) or 30),
        )  # fmt: skip
        known.pop("form", None)
        if known:
            raise BadQueueOption(f"{sorted(known)[0]!r} is no option of a client of the queue")
        if form not in FORMS:
            raise BadQueueOption(f"form is one of {', '.join(FORMS)}, not {form!r}")
        if original and settings.seal_to is not None:
            raise BadQueueOption("an original server cannot open sealed records")
        return settings

    @classmethod
    def from_config(cls, config: QueueConfig, options: Mapping[str, Any]) -> Self:
        """Return the settings that a config.yaml says; `options` (of the same words as `of`) come before it."""
        place = Place.of(config)
        said = {
            "host": place.host, "port": place.port, "unix": place.unix, "username": place.user, "ca": place.ca_file,
            "password_file": place.password_file, "cert": place.cert_file, "key": place.key_file,
            "name": config.job_name, "plaintext": not place.tls and place.unix is None,
            "timeout": place.timeout_ms / 1000,
        }  # fmt: skip
        settings = cls.of({**said, **options}, form="raw")
        more: dict[str, Any] = {
            "database": place.database,
            "trust_store_password_file": place.trust_store_password_file,
        }
        return replace(settings, place=replace(settings.place, **more))

    def full(self, name: str) -> str:
        """Return a uri, or another name of this client's, as Redis knows it."""
        return name if self.own is None or name.startswith(f"{self.own}/") else f"{self.own}/{name}"

    def short(self, name: str) -> str:
        """Return a uri as the caller knows it."""
        return name if self.own is None else name.removeprefix(f"{self.own}/")


def _check_plaintext(place: Place, *, plaintext: bool) -> None:
    """Raise RedisPlaintext where TLS is off by accident; the connection itself refuses other machines without it."""
    if place.tls or place.unix is not None:
        return
    if not plaintext:
        raise RedisPlaintext("TLS is off and plaintext=True is not said", fix="Leave tls out, or say plaintext=True.")
    _log.warning("PLAINTEXT: records go to %s and results come back without TLS, readable on their way", place.spelled)


def _read_config(path: Path) -> QueueConfig:
    """Read a config.yaml; what is worth a warning goes to the log. Raises BadQueueOption, BadQueueConfig."""
    try:
        config, warnings = QueueConfig.parse(disk.read_bounded(path, limit=MAX_CONFIG_BYTES))
    except OSError as problem:
        raise BadQueueOption(f"{path} cannot be read: {problem.strerror}") from None
    for sentence in warnings:
        _log.warning("%s: %s", path.name, sentence)
    return config


def _port(found: object) -> int:
    try:
        port = int(str(found or DEFAULT_PORT))
    except ValueError:
        port = 0
    if not 0 < port < 1 << 16:
        raise BadQueueOption(f"{found!r} is no port")
    return port


def _text(found: object) -> str | None:
    return None if found is None else str(found)
