"""Why a record has no prediction: one word on the wire, one typed error here. Pure.

The words are those of spec `cluster-serving.md` section 11.6; they stand in the result's field `code`, beside the
`NaN` that clients of the original look for.
"""

from __future__ import annotations

import traceback
from enum import StrEnum
from typing import ClassVar, Final

from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

MAX_MESSAGE_BYTES: Final = 1024
TRAIL: Final = 8  # innermost places that are named


class Fault(StrEnum):
    """The words that stand in a failed result's field `code`."""

    BAD_RECORD = "bad_record"
    UNSUPPORTED_SERDE = "unsupported_serde"
    INVALID_URI = "invalid_uri"
    TOO_LARGE = "too_large"
    BAD_IMAGE = "bad_image"
    BAD_INPUT_NAMES = "bad_input_names"
    SHAPE_MISMATCH = "shape_mismatch"
    DTYPE_MISMATCH = "dtype_mismatch"
    MODEL_ERROR = "model_error"
    POISONED = "poisoned"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    QUEUE_FULL = "queue_full"
    CONFLICT = "conflict"
    UNSEAL_FAILED = "unseal_failed"
    UNAUTHORIZED = "unauthorized"
    NOT_READY = "not_ready"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class ServingError(StrongroomError):
    """A record without a prediction. `fault` is the word on the wire, `uri` the record where it is known."""

    fault: ClassVar[Fault] = Fault.INTERNAL

    def __init__(self, sentence: str, *, uri: str | None = None, fix: str | None = None) -> None:
        super().__init__(sentence, fix=fix)
        self.uri = uri

    @property
    def message(self) -> str:
        """The sentence."""
        return self.sentence


class BadRecord(ServingError, BadInput):
    """A record's data are not in the form that its serde names."""

    code = "SR-QUEUE-BAD-RECORD"
    fix = "Make records with the client's enqueue or submit; docs/queue.md describes the forms."
    fault = Fault.BAD_RECORD


class UnsupportedSerde(ServingError, BadInput):
    """A record names a form (serde) that workers do not read."""

    code = "SR-QUEUE-SERDE"
    fix = "Leave serde out (Arrow), or use stream, raw or sealed."
    fault = Fault.UNSUPPORTED_SERDE


class InvalidUri(ServingError, BadInput):
    """A record's name is empty, too long or holds characters that it may not."""

    code = "SR-QUEUE-URI"
    fix = "Use 1 to 512 bytes of UTF-8 without NUL, CR and LF."
    fault = Fault.INVALID_URI


class TooLarge(ServingError, BadInput):
    """A record is larger than its queue takes."""

    code = "SR-QUEUE-TOO-LARGE"
    fix = "Send images encoded (JPEG) instead of as tensors, or raise maxRecordBytes."
    fault = Fault.TOO_LARGE


class BadImage(ServingError, BadInput):
    """The bytes of an image cannot be decoded."""

    code = "SR-QUEUE-BAD-IMAGE"
    fix = "Send a whole JPEG, PNG or other image that OpenCV reads, within the limit of pixels."
    fault = Fault.BAD_IMAGE


class BadInputNames(ServingError, BadInput):
    """A record's inputs are not the model's."""

    code = "SR-QUEUE-INPUT-NAMES"
    fix = "Name the inputs as the model does, or send as many as it has, in its order."
    fault = Fault.BAD_INPUT_NAMES


class ShapeMismatch(ServingError, BadInput):
    """An input's shape is not one that the model takes."""

    code = "SR-QUEUE-SHAPE"
    fix = "Send the shape that the model names, without its batch dimension unless inputAlreadyBatched is set."
    fault = Fault.SHAPE_MISMATCH


class DtypeMismatch(ServingError, BadInput):
    """An input's type is not one that the model takes."""

    code = "SR-QUEUE-DTYPE"
    fix = "Send numbers where the model wants numbers, and text where it wants text."
    fault = Fault.DTYPE_MISMATCH


class ModelError(ServingError, Refused):
    """The model itself failed on a record."""

    code = "SR-QUEUE-MODEL"
    fix = "Try the record with strongroom predict against the same model; the worker's log says more."
    fault = Fault.MODEL_ERROR


class Poisoned(ServingError, Refused):
    """A record was given to workers again and again, and none of them finished it."""

    code = "SR-QUEUE-POISONED"
    fix = "It is in the dead-letter stream: look at it with strongroom queue dead; do not send it again unchanged."
    fault = Fault.POISONED


class DeadlineExceeded(ServingError, Unreachable):
    """A record's deadline passed before it had a result; the model did not run for it afterwards."""

    code = "SR-QUEUE-DEADLINE"
    fix = "Allow more time, or add workers: strongroom queue status shows how much waits."
    fault = Fault.DEADLINE_EXCEEDED


class QueueFull(ServingError, Unreachable):
    """The queue holds as much as it may; the record was not taken."""

    code = "SR-QUEUE-FULL"
    fix = "Send it again later, or add workers; nothing that was taken is lost."
    fault = Fault.QUEUE_FULL


class Conflict(ServingError, BadInput):
    """An idempotency key was used before, for other data."""

    code = "SR-QUEUE-CONFLICT"
    fix = "Use a new idempotency key for new data."
    fault = Fault.CONFLICT


class UnsealFailed(ServingError, Refused):
    """A sealed record does not open: another key, another job, uri or model, or bytes that were changed."""

    code = "SR-QUEUE-UNSEAL"
    fix = "Seal to the queue key that the workers hold now (strongroom queue key), for this job and this model."
    fault = Fault.UNSEAL_FAILED


class Unauthorized(ServingError, Refused):
    """This queue does not take a record in this form from this client."""

    code = "SR-QUEUE-UNAUTHORIZED"
    fix = "Seal records where requireSealed is set, and use the user and certificate that were made for clients."
    fault = Fault.UNAUTHORIZED


class NotReady(ServingError, Unreachable):
    """Nobody works on this queue yet, or Redis is still starting."""

    code = "SR-QUEUE-NOT-READY"
    fix = "Start a worker (strongroom queue serve) and wait for it: strongroom queue status."
    fault = Fault.NOT_READY


class Cancelled(ServingError, Unreachable):
    """A record was withdrawn before it had a result."""

    code = "SR-QUEUE-CANCELLED"
    fix = "Send it again if its result is still wanted."
    fault = Fault.CANCELLED


class Internal(ServingError, Unreachable):
    """A worker failed in a way that nobody foresaw."""

    code = "SR-QUEUE-INTERNAL"
    fix = "The worker's log has the reason under the record's entry id."
    fault = Fault.INTERNAL


_CLASSES: Final[tuple[type[ServingError], ...]] = (
    BadRecord, UnsupportedSerde, InvalidUri, TooLarge, BadImage, BadInputNames, ShapeMismatch, DtypeMismatch,
    ModelError, Poisoned, DeadlineExceeded, QueueFull, Conflict, UnsealFailed, Unauthorized, NotReady, Cancelled,
    Internal,
)  # fmt: skip
_BY_WORD: Final = {str(each.fault): each for each in _CLASSES}


def error_of(word: str, message: str, *, uri: str | None = None) -> ServingError:
    """Return the error that a result's `code` and `message` stand for; a word that nobody knows is `internal`."""
    return _BY_WORD.get(word, Internal)(message, uri=uri)


def short(message: str) -> str:
    """Return a message as it may stand in a result: at most 1 KiB of UTF-8."""
    return message.encode("utf-8", "replace")[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")


def trail(problem: BaseException) -> str:
    """Return what a log may say of an exception: its type and where it came from, never its text, which may quote data.

    A record that came sealed is clear in the process that works on it, and a log is not.
    """
    places = [f"{each.filename}:{each.lineno}" for each in traceback.extract_tb(problem.__traceback__)[-TRAIL:]]
    return f"{type(problem).__name__} at {' < '.join(reversed(places)) or 'a place unknown'}"
