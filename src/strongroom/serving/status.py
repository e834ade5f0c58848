"""What a request can end in, and the one table from errors to gRPC and HTTP codes.

Source: spec `model-server.md` sections 3 and 4; the sentences that requests meet are TensorFlow Serving's.
"""

from __future__ import annotations

from typing import Final

from strongroom.errors import BadInput, Refused, StrongroomError, Tampered, Unreachable
from strongroom.tfserving.codes import Code
from strongroom.tfserving.config import ConfigConflict
from strongroom.tfserving.datatypes import UnsupportedType
from strongroom.tfserving.json_response import NotWritable
from strongroom.tfserving.tfrecord import BadRecordFile

MAX_DETAILS: Final = 1024  # characters; what follows is replaced by the mark below
_CUT: Final = "...TRUNCATED"


class BadRequest(BadInput):
    """A request contradicts the model's signature."""

    code = "SR-SERVE-ARGUMENT"
    fix = "Compare the request with the model's metadata."


class NotServed(BadInput):
    """The model or version of a request is not served here."""

    code = "SR-SERVE-NOT-FOUND"
    fix = "Ask for the status of the model: it lists the versions that are AVAILABLE."


class SignatureNotFound(BadInput):
    """A request names a signature that the model does not have."""

    code = "SR-SERVE-SIGNATURE"
    fix = "Use serving_default, or a signature that the model's metadata lists."


class UnexpectedMethod(BadInput):
    """A signature was exported for another method than the one that is called."""

    code = "SR-SERVE-METHOD"
    fix = "Call another signature, or start the server without --enable_signature_method_name_check."


class NotOffered(BadInput):
    """A method of TensorFlow Serving that this server does not have."""

    code = "SR-SERVE-UNIMPLEMENTED"
    fix = "Use another method; the specification of the server lists them."


class Overloaded(Unreachable):
    """More requests wait for the model than the server holds."""

    code = "SR-SERVE-BUSY"
    fix = "Try again later, or add replicas."


class QueueFull(Unreachable):
    """As many batches wait for the model as its batching parameters allow."""

    code = "SR-SERVE-QUEUE-FULL"
    fix = "Try again later, raise max_enqueued_batches, or add replicas."


class NotSplittable(BadInput):
    """A model's outputs do not have a row for each row of its inputs, so requests cannot share its runs."""

    code = "SR-SERVE-BATCH-OUTPUT"
    fix = "Start the server without --enable_batching: it then finds out which models it may join requests for."


class TooSlow(Unreachable):
    """The model did not answer before the deadline."""

    code = "SR-SERVE-DEADLINE"
    fix = "Send smaller batches, or start the server with a longer --rest_api_timeout_in_ms."


class EngineFailed(Unreachable):
    """The engine failed on a request that fits the signature."""

    code = "SR-SERVE-ENGINE"
    fix = "Try other inputs; the model itself may not accept these."


class ServerDefect(Unreachable):
    """The server failed in a way that was not foreseen."""

    code = "SR-SERVE-DEFECT"
    fix = "The server's log has the particulars; please report them."


class ModelFailed(Unreachable):
    """The model itself ended a run with an error, under a code of its own."""

    code = "SR-SERVE-MODEL"
    fix = "Try other inputs; the sentence is the model's."

    def __init__(self, sentence: str, *, status: Code) -> None:
        super().__init__(sentence)
        self.status = status


class ModelsNotAvailable(Unreachable):
    """New models of a configuration have no version that can answer, so nothing of it was applied."""

    code = "SR-MODELS-NOT-AVAILABLE"
    fix = "The server's log says what is wrong with each version; correct it and reload again."


class ClientNotAuthenticated(Refused):
    """A client's certificate is not one for clients."""

    code = "SR-SERVE-CLIENT"
    fix = "Use a certificate with the extended key usage clientAuth, as strongroom certs two-way makes."


class BadCall(BadInput):
    """A request is not a gRPC call as the protocol has it."""

    code = "SR-GRPC-CALL"
    fix = "Use a gRPC library: the frame, the compression or a header of the call is malformed."


_CODES: Final[dict[type[StrongroomError], Code]] = {
    NotServed: Code.NOT_FOUND,
    ConfigConflict: Code.FAILED_PRECONDITION,
    ModelsNotAvailable: Code.UNKNOWN,
    SignatureNotFound: Code.FAILED_PRECONDITION,
    NotSplittable: Code.FAILED_PRECONDITION,
    UnexpectedMethod: Code.INTERNAL,
    NotOffered: Code.UNIMPLEMENTED,
    UnsupportedType: Code.UNIMPLEMENTED,
    Overloaded: Code.RESOURCE_EXHAUSTED,
    TooSlow: Code.DEADLINE_EXCEEDED,
    EngineFailed: Code.INTERNAL,
    ServerDefect: Code.INTERNAL,
    NotWritable: Code.INTERNAL,
    BadCall: Code.INTERNAL,
    ClientNotAuthenticated: Code.UNAUTHENTICATED,
    BadRecordFile: Code.DATA_LOSS,
    BadInput: Code.INVALID_ARGUMENT,
    Refused: Code.PERMISSION_DENIED,
    Unreachable: Code.UNAVAILABLE,
    Tampered: Code.DATA_LOSS,
}


def code_of(error: StrongroomError) -> Code:
    """Return the code of the most exact class that the table has, or the model's own."""
    if isinstance(error, ModelFailed):
        return error.status
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.INTERNAL)


def details(text: str) -> str:
    """Return an error text as peers get it: valid Unicode, at most 1024 characters and a mark."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_DETAILS else text[:MAX_DETAILS] + _CUT


def peers_view(error: StrongroomError) -> str:
    """Return what a peer is told: why policy refused or what was tampered with is the operator's to know (SV-10)."""
    if isinstance(error, Refused | Tampered) and not isinstance(error, ClientNotAuthenticated):
        return "refused"
    return error.sentence


def status_of(error: StrongroomError) -> tuple[Code, str]:
    """Return the gRPC status that an error is to its peer: code and details."""
    return code_of(error), details(peers_view(error))
