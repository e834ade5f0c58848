"""Errors as RFC 9457 problem details: the same members whoever asks. Pure but for Starlette's response."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse

from strongroom.errors import BadInput, Refused, StrongroomError, Unreachable

MEDIA_TYPE: Final = "application/problem+json"
_OWN_STATUS: Final = {
    "SR-HTTP-BODY": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "SR-HTTP-SLOW": HTTPStatus.REQUEST_TIMEOUT,
    "SR-RATE-LIMITED": HTTPStatus.TOO_MANY_REQUESTS,
}  # where HTTP is more exact than the family


def problem(
    status: int, code: str, detail: str, *, kind: str = "about:blank", fix: str = "",
    headers: Mapping[str, str] | None = None, **members: Any,  # noqa: ANN401  # members of a problem are any JSON
) -> JSONResponse:  # fmt: skip
    """Return a problem: `code` is stable, `detail` says what happened, `fix` what to do; `members` are added."""
    body = {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}
    if fix:
        body["fix"] = fix
    return JSONResponse(body | members, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_of(error: StrongroomError) -> JSONResponse:
    """Return an error of ours as a problem; for callers who may know the reason, never for unproven peers."""
    return problem(status_of(error), error.code, error.sentence, fix=error.fix)


def status_of(error: StrongroomError) -> int:
    """Return the HTTP status of an error: its own, else its family's."""
    if error.code in _OWN_STATUS:
        return _OWN_STATUS[error.code]
    if isinstance(error, BadInput):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, Refused):
        return HTTPStatus.FORBIDDEN
    return HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, Unreachable) else HTTPStatus.INTERNAL_SERVER_ERROR
