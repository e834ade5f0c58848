"""What servers answer, as values: model status, metadata, predictions; and which version was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from strongroom.client.status import BadAnswer
from strongroom.errors import BadInput

if TYPE_CHECKING:  # what is proved names the model that it is proved for
    from strongroom.client.proof import Proof

Array = np.ndarray[Any, np.dtype[Any]]

DEFAULT_SIGNATURE: Final = "serving_default"


class UnclearRequest(BadInput):
    """A request says two things at once, or nothing."""

    code = "SR-UNCLEAR-REQUEST"
    fix = "Name a model; give either a version or a label; give at least one input."


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, and which version: a number, a label, or the server's choice. Raises UnclearRequest."""

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 256:
            raise UnclearRequest("a request needs the name of a model")
        if self.version is not None and self.label is not None:
            raise UnclearRequest("a request names a version or a label, not both")
        if self.version is not None and not 0 <= self.version < 2**63:
            raise UnclearRequest(f"{self.version} is no version number")

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name} version {self.version}"
        return f"{self.name} label {self.label}" if self.label else self.name


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a model: its state by name (`AVAILABLE`, `LOADING` …) and the error that ended it, if any."""

    version: int
    state: str
    error_code: str
    error_message: str


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Type name (`DT_FLOAT`) and shape of a named tensor; -1 is a free dimension, None an unknown rank."""

    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A way to call a model: its inputs and outputs by name, and TensorFlow Serving's method name."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a server says about a model version."""

    name: str
    version: int
    signatures: Mapping[str, Signature]

    def signature(self, name: str) -> Signature:
        """Return a signature by name, the default one for "". Raises BadAnswer when it is not listed."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise BadAnswer(f"the metadata of {self.name} lists no signature {name or DEFAULT_SIGNATURE!r}")
        return found


class Prediction(dict[str, Array]):
    """The outputs of one request by name; `version` is the model version that ran, where the protocol tells."""

    def __init__(self, outputs: Mapping[str, Array], *, version: int | None) -> None:
        super().__init__(outputs)
        self.version = version


class Transport(Protocol):
    """One protocol to one server. Every method raises the typed errors of `status` and `connection`."""

    def predict(self, spec: ModelSpec, inputs: Mapping[str, Array], signature_name: str) -> Prediction:
        """Run a signature and return its outputs."""

    def status(self, spec: ModelSpec) -> tuple[VersionStatus, ...]:
        """Return the versions of a model, newest first."""

    def metadata(self, spec: ModelSpec) -> Metadata:
        """Return the signatures of a model version."""

    def proof(self, spec: ModelSpec, *, fresh: bool = False) -> Proof:
        """Return what is proved about who answers for a model; `fresh` asks for evidence anew."""

    def close(self) -> None:
        """Close connections; safe to call twice."""
