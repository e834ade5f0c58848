"""Gramine's secret-provisioning dialogue, byte for byte, and everything that is not it."""

import pytest

from strongroom.gramine.provisioning import (
    MAX_SECRET_BYTES,
    REQUEST,
    RESPONSE,
    Client,
    ProvisioningAnswerMalformed,
    ProvisioningRequestMalformed,
    SecretFormat,
    SecretReceived,
    SecretRequested,
    SecretSizeRefused,
    Server,
)
from strongroom.secret import Secret

KEY = bytes(range(16))


def asked(**options):
    server = Server(**options)
    assert server.receive(REQUEST) == [SecretRequested()]
    return server


def test_the_request_is_35_bytes_and_the_answer_41_and_the_secret():
    assert Client().request() == b"SECRET_PROVISION_RA_TLS_REQUEST_V1\x00"
    assert len(REQUEST) == 35
    answer = asked().answer(Secret(KEY))
    assert bytes(answer) == b"SECRET_PROVISION_RA_TLS_RESPONSE_V1:\x00" + b"\x00\x00\x00\x10" + KEY
    assert len(answer) == 41 + 16


def test_before_1_3_the_key_is_text_of_32_hex_digits_and_a_nul():
    answer = asked().answer(Secret(KEY), SecretFormat.HEX32Z)
    assert bytes(answer) == RESPONSE + b"\x00\x00\x00\x21" + KEY.hex().encode("ascii") + b"\0"
    [event] = Client().receive(bytes(answer))
    assert event.secret == Secret(KEY.hex().encode() + b"\0")


def test_the_length_is_big_endian_and_has_four_bytes():
    answer = asked().answer(Secret(b"x" * 0x1234))
    assert bytes(answer[37:41]) == b"\x00\x00\x12\x34"


def test_a_request_may_arrive_byte_by_byte():
    server = Server()
    events = [server.receive(REQUEST[at : at + 1]) for at in range(len(REQUEST))]
    assert events[:-1] == [[]] * 34
    assert events[-1] == [SecretRequested()]
    assert server.receive(b"") == []


@pytest.mark.parametrize(
    "sent",
    [
        b"SECRET_PROVISION_RA_TLS_REQUEST_V2\x00",
        b"SECRET_PROVISION_RA_TLS_REQUEST_V1\n",
        b"GET / HTTP/1.1\r\n",
        b"\x00",
        REQUEST + b"M",
        REQUEST.lower(),
        b"S" * 100_000,
    ],
    ids=["version 2", "no NUL", "HTTP", "NUL", "early extra byte", "lower case", "oversize"],
)
def test_fb_17_anything_but_the_request_ends_the_dialogue(sent):
    with pytest.raises(ProvisioningRequestMalformed) as refusal:
        Server().receive(sent)
    assert refusal.value.code == "SR-PROVISIONING-REQUEST"


def test_fb_17_bytes_after_the_request_end_the_dialogue():
    server = asked()
    with pytest.raises(ProvisioningRequestMalformed):
        server.receive(b"MORE\x00")


@pytest.mark.parametrize("size", [0, MAX_SECRET_BYTES + 1])
def test_an_empty_or_oversized_secret_is_not_sent(size):
    with pytest.raises(SecretSizeRefused) as refusal:
        asked().answer(Secret(bytes(size)))
    assert refusal.value.code == "SR-SECRET-SIZE"


def test_a_larger_secret_needs_to_be_configured():
    answer = asked(max_secret_bytes=MAX_SECRET_BYTES + 1).answer(Secret(bytes(MAX_SECRET_BYTES + 1)))
    assert len(answer) == 41 + MAX_SECRET_BYTES + 1


def test_an_answer_comes_once_and_never_before_the_request():
    with pytest.raises(RuntimeError):
        Server().answer(Secret(KEY))
    server = asked()
    server.answer(Secret(KEY))
    with pytest.raises(RuntimeError):
        server.answer(Secret(KEY))


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_client_takes_the_secret_in_any_pieces(step):
    answer, client, events = RESPONSE + b"\x00\x00\x00\x10" + KEY, Client(), []
    for at in range(0, len(answer), step):
        events += client.receive(answer[at : at + step])
    assert events == [SecretReceived(Secret(KEY))]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n",
        RESPONSE.replace(b"V1", b"V2"),
        RESPONSE + b"\x00\x00\x00\x00",
        RESPONSE + b"\x00\x00\x00\x00\x00\x00\x00\x10" + KEY,
        RESPONSE + b"\x10\x00\x00\x00" + KEY,
        RESPONSE + (MAX_SECRET_BYTES + 1).to_bytes(4, "big"),
        RESPONSE + b"\xff\xff\xff\xff",
        RESPONSE + b"\x00\x00\x00\x10" + KEY + b"4",
    ],
    ids=["HTTP", "version 2", "length 0", "8-byte length", "little-endian", "oversize", "largest", "trailing byte"],
)
def test_the_client_refuses_any_other_answer(answer):
    with pytest.raises(ProvisioningAnswerMalformed) as refusal:
        Client().receive(answer)
    assert refusal.value.code == "SR-PROVISIONING-ANSWER"


def test_the_client_refuses_bytes_after_the_secret():
    client = Client()
    client.receive(RESPONSE + b"\x00\x00\x00\x10" + KEY)
    assert client.receive(b"") == []
    with pytest.raises(ProvisioningAnswerMalformed):
        client.receive(b"42\x00")


def test_no_secret_byte_is_in_an_error_or_a_representation():
    client = Client()
    with pytest.raises(ProvisioningAnswerMalformed) as refusal:
        client.receive(RESPONSE + b"\x00\x00\x00\x10" + b"SECRETSECRETSECR" + b"more")
    assert "SECRETSECRET" not in str(refusal.value)
    [event] = Client().receive(RESPONSE + b"\x00\x00\x00\x10" + b"SECRETSECRETSECR")
    assert "SECRETSECRET" not in repr(event)
