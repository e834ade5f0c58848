"""Run a written ONNX file as a server would: ONNX Runtime, signatures from the file's own metadata.

World: reads one file. Checks that every size which clients could choose is still theirs to choose.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.bundles.conversion.errors import ConversionDiffers
from strongroom.bundles.conversion.loaded import Arrays, first_line
from strongroom.bundles.conversion.onnx_writer import SIGNATURES_KEY
from strongroom.bundles.conversion.signatures import Signatures, show_shape


class OnnxResult:
    """A written ONNX model that answers by signature and alias."""

    def __init__(self, path: Path) -> None:
        """Load `path`. Raises ConversionDiffers if ONNX Runtime does not take it."""
        from strongroom.bundles.onnx_runtime import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # noqa: BLE001  # its exception classes share no base but Exception
            raise ConversionDiffers(f"ONNX Runtime does not load the result: {first_line(problem)}") from None
        self._signatures = json.loads(self._session.get_modelmeta().custom_metadata_map[SIGNATURES_KEY])

    def check_sizes(self, signatures: Signatures) -> None:
        """Raise ConversionDiffers if a size of an input that was free is fixed now."""
        shapes = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        for name, signature in signatures.items():
            for alias, port in signature.inputs.items():
                found = shapes[self._signatures[name]["inputs"][alias]]
                pairs = zip(port.shape or (), found, strict=False)
                if any(was < 0 and isinstance(now, int) for was, now in pairs):
                    raise ConversionDiffers(f"{alias} was {show_shape(port.shape)} and is {found} in the result")

    def run(self, signature: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by alias. Raises ConversionDiffers if the result does not take what the source took."""
        names: Mapping[str, Mapping[str, str]] = self._signatures[signature]
        feeds = {names["inputs"][alias]: _to_runtime(values) for alias, values in inputs.items()}
        try:
            outputs = self._session.run(list(names["outputs"].values()), feeds)
        except Exception as problem:  # noqa: BLE001
            raise ConversionDiffers(f"the result does not run where the source does: {first_line(problem)}") from None
        return {alias: _from_runtime(values) for alias, values in zip(names["outputs"], outputs, strict=True)}


def _to_runtime(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype != object:
        return values
    return np.array([item.decode() for item in values.ravel()], dtype=object).reshape(values.shape)


def _from_runtime(values: Any) -> NDArray[Any]:  # noqa: ANN401
    array = np.asarray(values)
    if array.dtype.kind not in "OU":
        return array
    return np.array([str(item).encode() for item in array.ravel()], dtype=object).reshape(array.shape)
