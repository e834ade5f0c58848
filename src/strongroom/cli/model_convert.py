"""Convert a model to a SavedModel or ONNX, and prove that the result computes the same.

The source is a frozen GraphDef (.pb), the version folder of a SavedModel, or a Keras file (.keras, .h5); which one is
seen from its content. EXPORT_DIR/VERSION is ready for strongroom model publish and for a model server; with
--format both it is EXPORT_DIR/saved_model/VERSION and EXPORT_DIR/onnx/VERSION. Outputs of source and result are
compared on random inputs and on yours; a difference beyond the tolerance is refused, and nothing is left behind.

The flags of the reference solution's model_graph_to_saved_model.py are taken as they are. One input is called 'input'
and one output 'predict', as there; ALIAS=TENSOR gives another name. Needs the extra strongroom[tensorflow].
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strongroom.bundles import conversion
from strongroom.client.extras import locate

PACKAGES = ("tensorflow", "keras", "tf2onnx", "onnx")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments; underscores, as in the reference solution, and hyphens both work."""
    add = parser.add_argument
    add("--import_path", "--import-path", required=True, metavar="PATH", help="the model to convert")
    add("--export_dir", "--export-dir", required=True, metavar="DIR", type=Path, help="where the version folder goes")
    add("--model_version", "--model-version", default=1, type=int, metavar="N", help="the version, 1 or higher")
    add("--format", default=conversion.SAVED_MODEL, choices=(*conversion.FORMATS, "both"),
        help="what to write (default: saved_model)")  # fmt: skip
    add("--signature", action="append", default=[], metavar="NAME", help="convert only this signature (repeat it)")
    add(
        "--opset",
        type=int,
        default=conversion.DEFAULT_OPSET,
        choices=conversion.OPSETS,
        metavar="N",
        help=f"ONNX opset, {min(conversion.OPSETS)} to {max(conversion.OPSETS)} (default: {conversion.DEFAULT_OPSET})",
    )
    graph = parser.add_argument_group("a frozen GraphDef does not say")
    graph.add_argument("--inputs", metavar="TENSORS", help="its input tensors, comma between (default: input)")
    graph.add_argument("--outputs", metavar="TENSORS", help="its output tensors, comma between (default: predict)")
    graph.add_argument("--shape", action="append", default=[], metavar="NAME=SIZES",
                       help="the shape of an input, as in input=-1,224,224,3")  # fmt: skip
    graph.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                       help="make a placeholder a constant, as in is_training=false")  # fmt: skip
    graph.add_argument("--dtypes", metavar="TYPES", help="no effect: the graph says its types")
    checks = parser.add_argument_group("how the result is proved")
    checks.add_argument("--tolerance", type=float, default=conversion.DEFAULT_TOLERANCE, metavar="X",
                        help="largest difference, in parts of an output's largest value (default: 1e-4)")  # fmt: skip
    checks.add_argument("--check-inputs", "--check_inputs", action="append", default=[], type=Path, metavar="FILE",
                        help="also compare on this .npz, .npy or picture (repeat it)")  # fmt: skip
    checks.add_argument("--random-checks", "--random_checks", type=int, default=1, metavar="N",
                        help="random inputs of each batch size, 0 for none (default: 1)")  # fmt: skip
    checks.add_argument("--seed", type=int, default=conversion.DEFAULT_SEED, metavar="N", help="of the random inputs")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Convert, prove, and print what was written and how far it is from the source."""
    order = order_of(args)
    for package in PACKAGES:
        locate(package, extra="tensorflow")
    with shown_progress(quiet=args.json) as progress:
        report = conversion.convert(order, progress)
    sys.stdout.write(json.dumps(as_json(order, report)) + "\n" if args.json else as_text(order, report))
    return 0


def order_of(args: argparse.Namespace) -> conversion.Order:
    """Return the order that the arguments make. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    if not args.import_path:
        raise Misuse("--import_path is empty; it has to name a model")
    if args.model_version < 1:
        raise Misuse(f"--model_version is {args.model_version}; versions begin with 1")
    if args.random_checks < 0 or args.seed < 0 or not args.tolerance >= 0:
        raise Misuse("--random-checks, --seed and --tolerance cannot be negative")
    if not args.random_checks and not args.check_inputs:
        raise Misuse("--random-checks 0 without --check-inputs leaves nothing to compare")
    formats = conversion.FORMATS if args.format == "both" else (args.format,)
    checks = conversion.Checks(args.seed, args.random_checks, tuple(args.check_inputs), args.tolerance)
    return conversion.Order(
        source=Path(args.import_path),
        export_dir=args.export_dir,
        version=args.model_version,
        formats=formats,
        signatures=tuple(args.signature),
        frozen=frozen_options(args),
        opset=args.opset,
        checks=checks,
    )


def frozen_options(args: argparse.Namespace) -> conversion.FrozenOptions | None:
    """Return what was said about a frozen graph, or None if nothing was."""
    if args.inputs is None and args.outputs is None and not args.shape and not args.set:
        return None
    return conversion.FrozenOptions(
        inputs=conversion.aliases((args.inputs or "input").split(","), conversion.INPUT_ALIAS),
        outputs=conversion.aliases((args.outputs or "predict").split(","), conversion.OUTPUT_ALIAS),
        shapes={name: sizes(text) for name, text in pairs(args.shape, "--shape").items()},
        constants=pairs(args.set, "--set"),
    )


def pairs(words: list[str], flag: str) -> dict[str, str]:
    """Return NAME=VALUE words as a mapping. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    found = {}
    for each in words:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise Misuse(f"{flag} {each!r} is not NAME=VALUE")
        found[name] = value
    return found


def sizes(text: str) -> tuple[int, ...]:
    """Return comma-separated sizes, -1 for any. Raises Misuse."""
    from strongroom.cli.frame import Misuse

    try:
        found = tuple(int(size) for size in text.split(",") if size)
    except ValueError:
        found = (-2,)
    if any(size < -1 for size in found):
        raise Misuse(f"{text!r} is not a shape: whole numbers with commas between, -1 for any size")
    return found


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show the step under way on a terminal, with the time it takes."""
    if quiet or not sys.stderr.isatty():
        yield lambda _step: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task("converting", total=None)
        yield lambda step: display.update(task, description=step)


def as_json(order: conversion.Order, report: conversion.Report) -> Mapping[str, Any]:
    """Return what was done, for a machine."""
    return {
        "source": {
            "kind": report.source.kind.value,
            "path": str(report.source.path),
            "sha256": dict(report.digests),
        },
        "signatures": {name: signature_json(signature) for name, signature in report.signatures.items()},
        "checks": {"seed": order.checks.seed, "tolerance": order.checks.tolerance, "inputs": list(report.origins)},
        "results": [result_json(result) for result in report.results],
    }


def signature_json(signature: conversion.ModelSignature) -> Mapping[str, Any]:
    """Return one signature; sizes that are free are null, an unknown rank is a null shape."""

    def ports(found: Mapping[str, conversion.Port]) -> Mapping[str, Any]:
        return {
            alias: {"dtype": port.dtype, "shape": port.shape and [None if size < 0 else size for size in port.shape]}
            for alias, port in found.items()
        }

    return {
        "method_name": signature.method_name,
        "inputs": ports(signature.inputs),
        "outputs": ports(signature.outputs),
    }


def result_json(result: conversion.Result) -> Mapping[str, Any]:
    """Return one version folder with its files and differences."""
    return {
        "format": result.form,
        "folder": str(result.folder),
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in result.files],
        "differences": [
            {"signature": name, "output": alias, "absolute": difference.absolute, "relative": difference.relative,
             "values": difference.values}
            for (name, alias), difference in result.differences.items()
        ],
    }  # fmt: skip


def as_text(order: conversion.Order, report: conversion.Report) -> str:
    """Return what was done, for a person."""
    lines = [f"converted {report.source.path} ({report.source.kind.value}), signatures {', '.join(report.signatures)}"]
    for result in report.results:
        lines.append(f"  {result.form:<12} {result.folder}")
        lines += [f"    {file.path}  {file.size} bytes  sha256 {file.sha256}" for file in result.files]
        lines += [
            f"    {name} {alias}: largest difference {difference.absolute:.3g}, relative {difference.relative:.3g}, "
            f"of {difference.values} values"
            for (name, alias), difference in result.differences.items()
        ]
    lines.append(
        f"compared on {'; '.join(report.origins)}; seed {order.checks.seed}, tolerance {order.checks.tolerance:g}"
    )
    lines.append("seal it for machines you do not trust with strongroom model publish")
    return "\n".join(lines) + "\n"
