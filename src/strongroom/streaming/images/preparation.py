"""What stands between a record and the model, by configuration: decode, resize, preprocess, hook, names, shapes, types.

One object per worker, made at its start: labels and hook are read once. Nothing here waits; a worker may call it from
threads (OpenCV lets go of Python's lock).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from strongroom.clusterserving.faults import BadRecord, ModelError, ServingError, ShapeMismatch
from strongroom.clusterserving.filters import Filter
from strongroom.clusterserving.values import Array, Image, Input, Inputs, Outputs, Sparse, Strings
from strongroom.streaming.images.decode import MAX_PIXELS, decode
from strongroom.streaming.images.hook import Hook, HookUnusable
from strongroom.streaming.images.matching import by_name, dense, fitted
from strongroom.streaming.images.postprocess import LabelsUnusable, labelled, read_labels
from strongroom.streaming.images.preprocess import Layout, Preprocess
from strongroom.tfserving.datatypes import STORAGE, DataType
from strongroom.tfserving.signatures import Signature, TensorSpec

if TYPE_CHECKING:
    from strongroom.clusterserving.config import QueueConfig


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How inputs become arrays and outputs an answer. The defaults are the original's.

    `resize`: (height, width). `preprocess` None: pixels as they are, as float32. `batched`: records bring their batch
    dimension. `strict_names`: inputs never count by their order. `filter` None: outputs stay tensors.
    """

    resize: tuple[int, int] | None = None
    preprocess: Preprocess = field(default_factory=Preprocess)
    filter: Filter | None = None
    labels: tuple[str, ...] = ()
    batched: bool = False
    strict_names: bool = False
    hook: Hook | None = None
    max_pixels: int = MAX_PIXELS

    @classmethod
    def from_config(cls, config: QueueConfig) -> Preparation:
        """Return what a configuration asks for; reads the files it names.

        Raises LabelsUnusable, HookUnusable, HookChanged, or BadPreprocess.
        """
        labels = read_labels(Path(config.labels_file)) if config.labels_file else ()
        if labels and not config.post_processing.startswith("topN.json"):
            raise LabelsUnusable("labelsFile is set, and postProcessing is not topN.json(k)")
        hook = Hook.load(Path(config.hook_file), config.hook_sha256 or "") if config.hook_file else None
        if hook is not None and hook.prepares and config.image_preprocess:
            raise HookUnusable(
                "imagePreprocess is set, and the hook's prepare gets pixels as they were decoded",
                fix="Take imagePreprocess out of the configuration: the hook does that work.",
            )
        return cls(
            resize=config.image_resize,
            preprocess=Preprocess.parse(config.image_preprocess),
            filter=Filter.parse(config.post_processing) if config.post_processing else None,
            labels=labels,
            batched=config.input_already_batched,
            strict_names=config.strict_names,
            hook=hook,
        )

    def prepare(self, instances: Sequence[Inputs], signature: Signature) -> dict[str, Array]:
        """Return a record's instances as the model's inputs, each with its batch dimension, under the model's names.

        Several instances become rows of one batch. Raises ServingError: BadImage, BadInputNames, ShapeMismatch,
        DtypeMismatch, BadRecord, or ModelError where a hook failed.
        """
        if not instances:
            raise BadRecord("the record has no instance")
        rows = [self._instance(each, signature) for each in instances]
        if len(rows) == 1:
            return rows[0]
        if any(row.keys() != rows[0].keys() for row in rows):
            raise BadRecord("the record's instances have different inputs")
        try:
            return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        except ValueError:
            raise ShapeMismatch("the record's instances have different shapes") from None

    def answer(self, outputs: Outputs) -> Outputs | str:
        """Return one record's outputs as what its result holds: tensors, or a text. Raises ModelError."""
        found = outputs if self.hook is None else self.hook.answer(outputs)
        if self.filter is None or isinstance(found, str):
            return found
        try:
            text = self.filter.apply(found)
        except ServingError:
            raise
        except (ValueError, TypeError, IndexError) as problem:
            raise ModelError(f"the outputs do not fit postProcessing: {type(problem).__name__}") from None
        return labelled(text, self.labels) if self.labels else text

    def _instance(self, inputs: Inputs, signature: Signature) -> dict[str, Array]:
        if self.hook is not None and self.hook.prepares:
            made = self.hook.prepare({name: self._for_hook(name, each) for name, each in inputs.items()})
            named = by_name(made, signature, strict=self.strict_names)
        else:
            named = by_name(inputs, signature, strict=self.strict_names)
        specs = signature.inputs
        return {name: self._input(name, each, specs[name]) for name, each in named.items()}

    def _input(self, name: str, value: Input, spec: TensorSpec) -> Array:
        match value:
            case Image(data) if spec.dtype is DataType.DT_STRING:
                return fitted(name, _one(data), spec, batched=self.batched)  # the model decodes
            case Image(data):
                made = self._pixels(data, spec)
                return fitted(name, made[None] if self.batched else made, spec, batched=self.batched)
            case Strings(values):
                return fitted(name, np.array(values, object), spec, batched=self.batched)
            case Sparse():
                return fitted(name, dense(name, value), spec, batched=self.batched)
            case _:
                return fitted(name, value, spec, batched=self.batched)

    def _pixels(self, data: bytes, spec: TensorSpec) -> Array:
        pixels = decode(data, resize=self.resize, max_pixels=self.max_pixels)
        wanted = STORAGE[spec.dtype].dtype
        kind = wanted if wanted.kind in "fiu" else np.dtype(np.float32)
        return self.preprocess.apply(pixels, layout=self.preprocess.layout or layout_of(spec), dtype=kind)

    def _for_hook(self, name: str, value: Input) -> Any:  # noqa: ANN401  # whatever a hook of Python works with
        match value:
            case Image(data):
                return decode(data, resize=self.resize, max_pixels=self.max_pixels)
            case Strings(values):
                return list(values)
            case Sparse():
                return dense(name, value)
            case _:
                return value


def layout_of(spec: TensorSpec) -> Layout:
    """Return where a model's input has its channels: last for `[?, h, w, 3]`, else first, as in the original."""
    last = spec.shape is not None and len(spec.shape) == 4 and spec.shape[3] == 3 and spec.shape[1] != 3
    return Layout.HWC if last else Layout.CHW


def _one(data: bytes) -> Array:
    found = np.empty((1,), object)
    found[0] = data
    return found
