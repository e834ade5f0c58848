"""Load one version: from a plain folder, or from a sealed bundle whose owner, name, version and completeness hold.

World: reads the version's folder. A bundle's plaintext exists in memory alone. Source: threats KD-10, KD-19, KD-20.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.bundles import OpenBundle, open_bundle
from strongroom.pki import disk
from strongroom.secret import Secret
from strongroom.serving.engines import Engine, EngineOptions, load
from strongroom.serving.engines.base import ModelNotLoadable
from strongroom.serving.versions import Candidate

MAX_MODEL_BYTES: Final = 2**31 - 1  # what protobuf can hold
_FILES: Final = {"model.onnx": "onnx", "saved_model.pb": "tensorflow"}


class Loader(Protocol):
    """Turns a version's folder into a model that can run."""

    def load(self, candidate: Candidate) -> Engine:
        """Load a version, or raise the reason why it is not served. Called outside the event loop."""


@dataclass(frozen=True, slots=True)
class PlainLoader:
    """Versions as TensorFlow Serving has them: the model's own files, readable by the operator."""

    options: EngineOptions

    def load(self, candidate: Candidate) -> Engine:
        """Load a version. Raises ModelNotLoadable, EngineUnknown, FileTooLong or OSError."""
        engine = next((kind for name, kind in _FILES.items() if (candidate.folder / name).is_file()), None)
        if engine is None:
            raise ModelNotLoadable(f"{candidate.folder} holds none of {', '.join(_FILES)}")
        return load(
            engine, lambda path: disk.read_bounded(candidate.folder / path, limit=MAX_MODEL_BYTES), self.options
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLoader:
    """Versions as bundles: nothing is served but what the owner signed, complete, under the key that was released."""

    model: str
    key: Secret
    owner: Ed25519PublicKey
    options: EngineOptions

    def load(self, candidate: Candidate) -> Engine:
        """Load a version. Raises what `open_bundle` and the engine raise."""
        bundle: OpenBundle = open_bundle(
            candidate.folder, key=self.key, owner=self.owner, name=self.model, version=candidate.version
        )
        return load(bundle.manifest.engine, bundle.read, self.options)
