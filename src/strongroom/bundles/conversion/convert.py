"""Convert a model and prove the result: nothing appears in the export folder before every output has been compared.

World: reads the source, writes version folders whole or not at all. One format goes to EXPORT/VERSION, as the reference
solution's script does; both go to EXPORT/saved_model/VERSION and EXPORT/onnx/VERSION, since a version folder holds
exactly one model and both of these can be published and served as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from strongroom.bundles.conversion import frozen, keras_file, loaded, onnx_writer, proof, saved_model_writer
from strongroom.bundles.conversion.comparison import Difference
from strongroom.bundles.conversion.errors import ConversionDiffers, NotConvertible
from strongroom.bundles.conversion.onnx_result import OnnxResult
from strongroom.bundles.conversion.placeholders import FrozenOptions
from strongroom.bundles.conversion.signatures import Signatures, check_one_file, choose
from strongroom.bundles.conversion.source import Kind, Source, recognise, sha256_of
from strongroom.bundles.engines import ONNX_FILE
from strongroom.bundles.listing import below
from strongroom.pki import disk

SAVED_MODEL: Final = "saved_model"
ONNX: Final = "onnx"
FORMATS: Final = (SAVED_MODEL, ONNX)
Progress = Callable[[str], None]
Differences = Mapping[tuple[str, str], Difference]  # by signature and output alias


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to convert into what. `frozen` is for a frozen GraphDef alone; no `signatures` means all of them."""

    source: Path
    export_dir: Path
    version: int = 1
    formats: Sequence[str] = (SAVED_MODEL,)
    signatures: Sequence[str] = ()
    frozen: FrozenOptions | None = None
    opset: int = onnx_writer.DEFAULT_OPSET
    checks: proof.Checks = field(default_factory=proof.Checks)

    def target(self, form: str) -> Path:
        """Return the version folder that a format goes to."""
        base = self.export_dir if len(self.formats) == 1 else self.export_dir / form
        return base / str(self.version)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file of a result: path in its folder, size in bytes, SHA-256 as hex digits."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Result:
    """One version folder that was written, and how far each output is from the source's, by signature and alias."""

    form: str
    folder: Path
    files: Sequence[WrittenFile]
    differences: Differences


@dataclass(frozen=True, slots=True)
class Report:
    """What was converted: the source and its files' SHA-256, signatures, where inputs came from, and the results."""

    source: Source
    digests: Mapping[str, str]
    signatures: Signatures
    origins: Sequence[str]
    results: Sequence[Result]


@dataclass(frozen=True, slots=True)
class _Opened:
    model: loaded.Loaded
    run: proof.Run
    saved_model: Source | None  # None for a frozen graph, which is written anew


def convert(order: Order, progress: Progress = lambda _step: None) -> Report:
    """Convert and prove. Raises the errors of this room, and AlreadyThere; on any, nothing is left behind."""
    source = recognise(order.source)
    for form in order.formats:
        if order.target(form).exists():
            fix = "A version never changes: choose the next --model_version, or another folder."
            raise disk.AlreadyThere(f"{order.target(form)} is there already", fix=fix)
    progress("loading TensorFlow and the model")
    with ExitStack() as stack:
        opened = stack.enter_context(_open(source, order))
        if ONNX in order.formats:
            check_one_file(opened.model.signatures)
        progress("running the source on the inputs to compare")
        asked = proof.cases(opened.model, opened.run, order.checks)
        results = []
        for form in order.formats:
            folder = stack.enter_context(disk.new_folder(order.target(form)))  # appears when the stack unwinds well
            write = _onnx if form == ONNX else _saved_model
            differences = write(opened, order, folder, asked, progress)
            results.append(Result(form, order.target(form), _files(folder), differences))
    digests = {name: sha256_of(path) for name, path in source.files().items()}
    origins = sorted({case.origin for case in asked})
    return Report(source, digests, opened.model.signatures, origins, results)


@contextmanager
def _open(source: Source, order: Order) -> Iterator[_Opened]:
    if source.kind is Kind.FROZEN_GRAPH:
        options = order.frozen or FrozenOptions({frozen.INPUT_ALIAS: "input"}, {frozen.OUTPUT_ALIAS: "predict"})
        with frozen.open_frozen(source.path, options) as model:
            yield _opened(model, order, None)
        return
    if order.frozen is not None:
        fix = "Leave out --inputs, --outputs, --shape and --set: they are for a frozen GraphDef."
        raise NotConvertible(f"{source.path} is a {source.kind.value}, which says itself what it takes", fix=fix)
    if source.kind is Kind.SAVED_MODEL:
        with loaded.saved_model(source.path) as model:
            yield _opened(model, order, source)
        return
    with tempfile.TemporaryDirectory() as folder:
        exported = Source(Kind.SAVED_MODEL, Path(folder) / "exported")
        with keras_file.open_keras(source, exported.path) as (model, keras_model):
            yield _opened(model, order, exported, lambda _name, inputs: keras_file.run(keras_model, inputs))


def _opened(model: loaded.Loaded, order: Order, saved_model: Source | None, run: proof.Run | None = None) -> _Opened:
    chosen = loaded.Loaded(model.graph, model.session, choose(model.signatures, order.signatures))
    return _Opened(chosen, run or chosen.run, saved_model)


def _onnx(opened: _Opened, order: Order, folder: Path, asked: Sequence[proof.Case], progress: Progress) -> Differences:
    """Write ONNX into `folder` and prove it."""
    progress("writing ONNX")
    onnx_writer.write_onnx(opened.model, folder / ONNX_FILE, opset=order.opset)
    progress("comparing ONNX with the source")
    result = OnnxResult(folder / ONNX_FILE)
    result.check_sizes(opened.model.signatures)
    return proof.prove(asked, result.run, order.checks.tolerance)


def _saved_model(
    opened: _Opened, order: Order, folder: Path, asked: Sequence[proof.Case], progress: Progress
) -> Differences:
    """Write a SavedModel into `folder` and prove it."""
    progress("writing the SavedModel")
    if opened.saved_model is None:
        saved_model_writer.write_frozen(opened.model, folder)
    else:
        saved_model_writer.copy(opened.saved_model, folder, opened.model.signatures)
    progress("comparing the SavedModel with the source")
    with loaded.saved_model(folder) as written:
        if dict(written.signatures) != dict(opened.model.signatures):
            raise ConversionDiffers("the signatures of the result are not those of the source")
        return proof.prove(asked, written.run, order.checks.tolerance)


def _files(folder: Path) -> list[WrittenFile]:
    return [WrittenFile(path, information.st_size, sha256_of(folder / path))
            for path, information in sorted(below(folder)) if (folder / path).is_file()]  # fmt: skip
