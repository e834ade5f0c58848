"""Ask an image classifier about photographs and rank what it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strongroom.client.answers import ModelSpec, TensorInfo, UnclearRequest
from strongroom.client.client import Client
from strongroom.client.images import read_image
from strongroom.client.labels import RankedClass, top_classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """A photograph's best classes, best first; `version` is None where the protocol does not tell which ran."""

    image: Path
    classes: tuple[RankedClass, ...]
    version: int | None
    took_s: float

    def to_json_object(self) -> dict[str, object]:
        """Return the classification as a machine reads it."""
        classes = [{"index": c.index, "name": c.name, "probability": round(c.probability, 6)} for c in self.classes]
        return {
            "image": str(self.image),
            "version": self.version,
            "latency_ms": round(1000 * self.took_s, 3),
            "classes": classes,
        }


@dataclass(frozen=True, slots=True)
class Classifier:
    """A model's signature with one image input and one output of class scores."""

    client: Client
    spec: ModelSpec
    signature_name: str
    input_name: str
    output_name: str
    version: int

    @classmethod
    def of(
        cls,
        client: Client,
        spec: ModelSpec,
        *,
        signature_name: str = "",
        input_name: str | None = None,
        output_name: str | None = None,
    ) -> Classifier:
        """Find input and output in the model's metadata; names are needed only where there are several."""
        metadata = client.metadata(spec.name, version=spec.version, label=spec.label)
        signature = metadata.signature(signature_name)
        given = _the_one("input", signature.inputs, input_name)
        made = _the_one("output", signature.outputs, output_name)
        return cls(client, spec, signature_name, given, made, metadata.version)

    def classify(self, image: Path, labels: Sequence[str] | None, *, count: int) -> Classification:
        """Return the best classes of one photograph. Raises BadImage, BadLabels and the client's errors."""
        inputs = {self.input_name: read_image(image)}
        started = time.perf_counter()
        outputs = self.client.predict(
            self.spec.name,
            inputs,
            version=self.spec.version,
            label=self.spec.label,
            signature_name=self.signature_name,
        )
        took_s = time.perf_counter() - started
        ranked = top_classes(outputs[self.output_name], labels, count=count)
        return Classification(image=image, classes=ranked, version=outputs.version, took_s=took_s)


def _the_one(what: str, listed: Mapping[str, TensorInfo], wanted: str | None) -> str:
    names = sorted(listed)
    if wanted is not None and wanted in names:
        return wanted
    if wanted is None and len(names) == 1:
        return names[0]
    raise UnclearRequest(f"the model has the {what}s {', '.join(names)}: name one of them with --{what}")
