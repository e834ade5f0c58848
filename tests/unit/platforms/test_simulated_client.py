"""The program's end of the quote channel against launchers that are slow, wrong, or gone."""

import socket
import threading

import pytest

from strongroom.platforms import QuoteUnavailable, ReportDataSize, SimulatedPlatform
from strongroom.platforms.quote_channel import frame

ASKED = bytes([7]) * 64


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SimulatedPlatform(ours.fileno(), timeout_s=20), theirs


def test_the_request_is_length_framed_and_the_answer_is_returned_whole(ends, sign_sgx):
    platform, launcher = ends
    answer = sign_sgx(ASKED)

    def serve():
        assert launcher.recv(4096) == b"\x40\0\0\0" + ASKED
        for piece in (frame(answer)[:3], frame(answer)[3:900], frame(answer)[900:]):
            launcher.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    assert platform.quote(ASKED) == answer
    thread.join()


def test_an_answer_to_a_question_given_up_earlier_is_passed_over(ends, sign_sgx):
    platform, launcher = ends
    wanted = sign_sgx(ASKED)
    launcher.sendall(frame(sign_sgx(bytes(64))) + frame(wanted))
    assert platform.quote(ASKED) == wanted


def test_bytes_that_are_no_quote_are_refused(ends):
    platform, launcher = ends
    launcher.sendall(frame(bytes(2000)))
    with pytest.raises(QuoteUnavailable, match="no quote"):
        platform.quote(ASKED)


def test_a_launcher_that_is_gone_is_said_so(ends):
    platform, launcher = ends
    launcher.close()
    with pytest.raises(QuoteUnavailable, match="gone") as refusal:
        platform.quote(ASKED)
    assert refusal.value.code == "SR-QUOTE-UNAVAILABLE"


def test_a_launcher_that_closes_instead_of_answering_is_said_so(ends):
    platform, launcher = ends
    launcher.shutdown(socket.SHUT_WR)
    with pytest.raises(QuoteUnavailable, match="closed the quote channel"):
        platform.quote(ASKED)


def test_a_launcher_that_does_not_answer_does_not_hang_the_program():
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(QuoteUnavailable, match=r"within 0\.05 s"):
        SimulatedPlatform(ours.fileno(), timeout_s=0.05).quote(ASKED)


@pytest.mark.parametrize("answer", [b"\0\0\0\0", b"\xff\xff\xff\xff", frame(bytes(1019)), (8193).to_bytes(4, "little")])
def test_an_answer_of_impossible_length_is_refused(ends, answer):
    platform, launcher = ends
    launcher.sendall(answer)
    with pytest.raises(QuoteUnavailable, match="are possible"):
        platform.quote(ASKED)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_report_data_of_another_size_is_never_sent(ends, size):
    platform, launcher = ends
    with pytest.raises(ReportDataSize) as refusal:
        platform.quote(bytes(size))
    assert refusal.value.code == "SR-REPORT-DATA-SIZE"
    launcher.setblocking(False)
    with pytest.raises(BlockingIOError):
        launcher.recv(1)
