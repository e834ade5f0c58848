"""Model status and metadata as the REST interface prints them: snake_case, unset fields written, int64 as strings.

Source: spec `model-server.md` section 4, Status and Metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from strongroom.tfserving.signatures import Signature, TensorSpec
from strongroom.tfserving.status import VersionStatus


def status_json(versions: Iterable[VersionStatus]) -> str:
    """Return the answer to GET /v1/models/NAME."""
    rows = [
        {
            "version": str(each.version),
            "state": each.state.name,
            "status": {"error_code": each.code.name, "error_message": each.message},
        }
        for each in versions
    ]
    return json.dumps({"model_version_status": rows}, indent=1)


def metadata_json(name: str, version: int, signatures: Mapping[str, Signature]) -> str:
    """Return the answer to GET /v1/models/NAME/metadata."""
    return json.dumps(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": {key: _signature(s) for key, s in signatures.items()}}},
        },
        indent=1,
    )


def _signature(signature: Signature) -> dict[str, object]:
    return {
        "inputs": {key: _tensor(spec) for key, spec in signature.inputs.items()},
        "outputs": {key: _tensor(spec) for key, spec in signature.outputs.items()},
        "method_name": signature.method,
        "defaults": {},
    }


def _tensor(spec: TensorSpec) -> dict[str, object]:
    sizes = spec.shape or ()
    shape = {"dim": [{"size": str(size), "name": ""} for size in sizes], "unknown_rank": spec.shape is None}
    return {"dtype": spec.dtype.name, "tensor_shape": shape, "name": spec.name}
