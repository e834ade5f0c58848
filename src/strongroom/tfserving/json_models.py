"""Model status and metadata as the REST interface prints them: snake_case, unset fields written, int64 as strings.

Source: spec `model-server.md` section 4, Status and Metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from google.protobuf.json_format import MessageToDict

from strongroom.tfserving.signatures import Signature, definition_of
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
    return MessageToDict(
        definition_of(signature), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
