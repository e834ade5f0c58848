"""The state of a model version as a value, to and from GetModelStatusResponse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from strongroom.tfserving.codes import Code
from strongroom.tfserving.descriptors import ProtoMessage
from strongroom.tfserving.messages import BadMessage, GetModelStatusResponse


class State(IntEnum):
    """ModelVersionStatus.State: the life of a version, in order."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version of a model; `code` and `message` say why it ended, where an error ended it."""

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


def status_response(versions: Iterable[VersionStatus]) -> ProtoMessage:
    """Return a GetModelStatusResponse, in the order given."""
    response = GetModelStatusResponse()
    for each in versions:
        row = response.model_version_status.add(version=each.version, state=each.state)
        row.status.error_code = each.code
        row.status.error_message = each.message
    return response


def statuses_of(response: ProtoMessage) -> tuple[VersionStatus, ...]:
    """Return the rows of a GetModelStatusResponse. Raises BadMessage for states or codes that do not exist."""
    try:
        return tuple(
            VersionStatus(row.version, State(row.state), Code(row.status.error_code), row.status.error_message)
            for row in response.model_version_status
        )
    except ValueError as problem:
        raise BadMessage(f"the model status is malformed: {problem}") from None
