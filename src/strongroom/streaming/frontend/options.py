"""What a front end is started with, under the original's names, and the models that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from strongroom.clusterserving.config import QueueConfig
from strongroom.errors import BadInput, Refused
from strongroom.pki import disk
from strongroom.streaming.frontend.backends import Backend, Model, Settings
from strongroom.streaming.frontend.bucket import TokenBucket
from strongroom.streaming.frontend.keystore import KeyFiles
from strongroom.streaming.frontend.servables import (
    MAX_FILE_BYTES,
    BadServables,
    Servable,
    model_servable,
    queue_servable,
    read_servables,
)

DEFAULT_PORT: Final = 10023
DEFAULT_SERVABLES: Final = Path("servables-conf.yaml")


class PlainFrontRefused(Refused):
    """The front end was asked to listen without TLS, or to take a password from its command line."""

    code = "SR-QUEUE-HTTPS-ONLY"
    fix = "Give --httpsKeyStorePath, and the password as --httpsKeyStoreTokenFile FILE (0600)."


class FrontOption(BadInput):
    """An option of the front end is missing, or two do not go together."""

    code = "SR-QUEUE-FRONTEND-OPTION"
    fix = "strongroom queue frontend --help lists the options; docs/queue-frontend.md shows examples."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelServer:
    """Which model server answers, and how we and it prove who we are."""

    address: str  # HOST:PORT
    model: str | None = None
    version: int | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    trust: Path | None = None

    @property
    def url(self) -> str:
        """The address of its REST port."""
        return f"https://{self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontOptions:
    """Everything a front end is told. `port` 0: the system chooses one. `config` is the queue's."""

    keys: KeyFiles
    interface: str = "0.0.0.0"  # noqa: S104  # the original's; callers prove themselves by certificate where asked to
    port: int = DEFAULT_PORT
    config: QueueConfig = field(default_factory=QueueConfig)
    servables: Path | None = None  # None: the default file, if it is there
    model_server: ModelServer | None = None
    settings: Settings = field(default_factory=Settings)

    def models(self) -> tuple[Model, ...]:
        """Return the models, connected when they are first asked. Raises BadServables, FrontOption, and more."""
        listed = self._servables()
        made = []
        for each in listed:
            backend = self._queue(each) if each.job is not None else self._model_server(each)
            bucket = TokenBucket(each.tokens_per_second) if each.tokens_per_second else None
            made.append(Model(each, backend, bucket))
        return tuple(made)

    def _servables(self) -> tuple[Servable, ...]:
        path = self.servables
        if path is None and DEFAULT_SERVABLES.is_file():
            path = DEFAULT_SERVABLES
        if path is not None:
            try:
                return read_servables(disk.read_bounded(path, limit=MAX_FILE_BYTES))
            except OSError as problem:
                raise BadServables(f"{path} cannot be read: {problem.strerror}") from None
        if self.model_server is None:
            return (queue_servable(self.config.job),)
        if self.model_server.model is None:
            raise FrontOption("--model-server is given without the model's name: give --modelName, or a list of models")
        return (model_servable(self.model_server.model, self.model_server.version),)

    def _queue(self, servable: Servable) -> Backend:
        from strongroom.streaming.frontend.queue_backend import QueueBackend

        config, job = self.config, servable.job or self.config.job
        changed = replace(
            config,
            job_name=job.name,
            redis_host=servable.host or config.redis_host,
            redis_port=servable.port or config.redis_port,
            redis_tls=config.redis_tls if servable.secure is None else servable.secure,
            redis_trust_store=servable.trust_store or config.redis_trust_store,
        )
        return QueueBackend(changed, self.settings.metrics)

    def _model_server(self, servable: Servable) -> Backend:
        from strongroom.client import Client
        from strongroom.streaming.frontend.model_server import THREADS, ModelServerBackend
        from strongroom.streaming.images import Preparation

        server = self.model_server
        if server is None:
            raise FrontOption(
                f"model {servable.name!r} is the model server's, and --model-server HOST:PORT is not given"
            )
        client = Client(
            server.url, ca=server.ca, certificate=server.certificate, key=server.key, trust=server.trust,
            timeout_s=self.settings.timeout_s, connections=THREADS,
        )  # fmt: skip
        version = whole_version(servable.version)
        return ModelServerBackend(client, servable.name, version, Preparation.from_config(self.config))


def whole_version(text: str) -> int | None:
    """Return a servable's version as model servers number them: 1 and 1.0 are 1, no text is the server's choice."""
    whole = text.removesuffix(".0")
    if not whole:
        return None
    if not whole.isascii() or not whole.isdigit() or len(whole) > 18:
        raise FrontOption(f"version {text[:40]!r} is no number, as a model server's versions are")
    return int(whole)
