"""A server's refusal becomes a typed error with the server's own words, safe to print."""

import json

import pytest

from strongroom.client.status import (
    MAX_TEXT,
    BadAnswer,
    ModelNotServed,
    RequestDenied,
    RequestNotAccepted,
    ServerBusy,
    ServerFailed,
    error_of_http,
    error_of_status,
)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("NOT_FOUND", ModelNotServed, "SR-MODEL-NOT-SERVED"),
        ("INVALID_ARGUMENT", RequestNotAccepted, "SR-REQUEST-NOT-ACCEPTED"),
        ("FAILED_PRECONDITION", RequestNotAccepted, "SR-REQUEST-NOT-ACCEPTED"),
        ("UNIMPLEMENTED", RequestNotAccepted, "SR-REQUEST-NOT-ACCEPTED"),
        ("PERMISSION_DENIED", RequestDenied, "SR-REQUEST-DENIED"),
        ("UNAVAILABLE", ServerBusy, "SR-SERVER-BUSY"),
        ("DEADLINE_EXCEEDED", ServerBusy, "SR-SERVER-BUSY"),
        ("INTERNAL", ServerFailed, "SR-SERVER-FAILED"),
        ("SOMETHING_NEW", ServerFailed, "SR-SERVER-FAILED"),
    ],
)
def test_a_grpc_status_says_whose_move_it_is(status, kind, code):
    error = error_of_status(status, "Servable not found for request: Latest(m)")
    assert (type(error), error.code, error.status) == (kind, code, status)
    assert error.text == "Servable not found for request: Latest(m)"
    assert "Latest(m)" in error.sentence


@pytest.mark.parametrize(
    ("http", "kind"),
    [(400, RequestNotAccepted), (401, RequestDenied), (403, RequestDenied), (404, ModelNotServed),
     (418, RequestNotAccepted),
     (429, ServerBusy), (500, ServerFailed), (501, RequestNotAccepted), (503, ServerBusy), (504, ServerBusy)],
)  # fmt: skip
def test_an_http_status_says_the_same(http, kind):
    error = error_of_http(http, json.dumps({"error": "no"}).encode())
    assert (type(error), error.status, error.text) == (kind, f"HTTP {http}", "no")


@pytest.mark.parametrize("body", [b"", b"<html>gone</html>", b"\xff", b"[1]", b"{}", b"[" * 100_000])
def test_an_error_body_of_any_kind_is_shown_shortened(body):
    error = error_of_http(500, body)
    assert isinstance(error, ServerFailed)
    assert len(error.sentence) < MAX_TEXT + 60


def test_sv_03_a_redirection_is_never_followed():
    with pytest.raises(BadAnswer, match="redirection 302") as caught:
        raise error_of_http(302, b"")
    assert caught.value.code == "SR-BAD-ANSWER"


def test_text_of_a_server_cannot_drive_the_terminal():
    error = error_of_status("INTERNAL", "\x1b[2J\r\nstrongroom: all is proved\x07")
    assert error.sentence.isprintable()
