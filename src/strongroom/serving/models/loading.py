"""Load one version: from a plain folder, or from a sealed bundle whose owner, name, version and completeness hold.

World: reads the version's folder. A bundle's plaintext exists in memory alone. Source: threats KD-10, KD-19, KD-20.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.bundles import OpenBundle, open_bundle
from strongroom.secret import Secret
from strongroom.serving.engines import Engine, EngineOptions, FolderFiles, ModelFiles, load
from strongroom.serving.engines.choice import AUTO
from strongroom.serving.engines.files import CHUNK_BYTES
from strongroom.serving.models.versions import Candidate
from strongroom.serving.models.warmup import Preparation


class Loader(Protocol):
    """Turns a version's folder into a model that can run."""

    def load(self, candidate: Candidate) -> Engine:
        """Load a version, or raise the reason why it is not served. Called outside the event loop."""


@dataclass(frozen=True, slots=True)
class PlainLoader:
    """Versions as TensorFlow Serving has them: the model's own files, readable by the operator."""

    options: EngineOptions
    model: str = "default"
    preparation: Preparation | None = None

    def load(self, candidate: Candidate) -> Engine:
        """Load a version. Raises what the engine and its warm-up raise, FileTooLong or OSError."""
        files = FolderFiles(candidate.folder)
        engine = load(self.options.engine, files, self.options)
        return _prepared(engine, files, candidate, self.model, self.preparation)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLoader:
    """Versions as bundles: nothing is served but what the owner signed, complete, under the key that was released.

    `key`: what opens all versions, or what returns a version's own; that may wait for the broker.
    """

    model: str
    key: Secret | Callable[[int], Secret]
    owner: Ed25519PublicKey
    options: EngineOptions
    preparation: Preparation | None = None

    def load(self, candidate: Candidate) -> Engine:
        """Load a version. Raises what `key`, `open_bundle`, the engine and its warm-up raise."""
        key = self.key if isinstance(self.key, Secret) else self.key(candidate.version)
        bundle: OpenBundle = open_bundle(
            candidate.folder, key=key, owner=self.owner, name=self.model, version=candidate.version
        )
        wanted = bundle.manifest.engine if self.options.engine == AUTO else self.options.engine
        files = BundleFiles(bundle)
        return _prepared(load(wanted, files, self.options), files, candidate, self.model, self.preparation)


def _prepared(
    engine: Engine, files: ModelFiles, candidate: Candidate, model: str, preparation: Preparation | None
) -> Engine:
    if preparation is None:
        return engine
    try:
        preparation.prepare(engine, files, model=model, version=candidate.version, path=str(candidate.folder))
    except BaseException:
        engine.close()
        raise
    return engine


@dataclass(frozen=True, slots=True)
class BundleFiles:
    """The files of an open bundle; their plaintext exists in memory alone."""

    bundle: OpenBundle
    folder: Path | None = None

    @property
    def paths(self) -> Sequence[str]:
        """The files that the owner signed, sorted."""
        return [entry.path for entry in self.bundle.files]

    def read(self, path: str) -> bytes:
        """Return the plaintext of one file. Raises what `OpenBundle.open` raises."""
        return self.bundle.read(path)

    def chunks(self, path: str) -> Iterator[bytes]:
        """Yield the plaintext of one file piece by piece. Raises like `read`."""
        with self.bundle.open(path) as reader:
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk
