"""Addresses: which are understood, and that plaintext needs a word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.address import BadUrl, PlaintextRefused, Protocol, parse_address
from strongroom.errors import StrongroomError


@pytest.mark.parametrize(
    ("url", "protocol", "host", "port"),
    [
        ("https://replica.example:8501", Protocol.REST, "replica.example", 8501),
        ("grpcs://replica.example:9000", Protocol.GRPC, "replica.example", 9000),
        ("https://replica.example", Protocol.REST, "replica.example", 8501),
        ("grpcs://replica.example/", Protocol.GRPC, "replica.example", 8500),
        ("https://[::1]:8501", Protocol.REST, "::1", 8501),
    ],
)
def test_an_address_names_protocol_host_and_port(url, protocol, host, port):
    address = parse_address(url)
    assert (address.protocol, address.secure, address.host, address.port) == (protocol, True, host, port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "url",
    ["", "replica:8500", "ftp://replica", "https://", "https://a:b@replica", "https://replica/v1/models", "https://r?x=1",
     "https://r#f", "https://r:99999", "https://r:0", "https://r:x", "https://[::1", "https://a b", "https://a\nb",
     "https://b\u00fccher", "https://" + "a" * 3000],
)  # fmt: skip
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadUrl) as caught:
        parse_address(url)
    assert caught.value.code == "SR-URL"


@pytest.mark.parametrize("url", ["http://replica:8501", "grpc://replica:8500"])
def test_sv_03_plaintext_is_refused_unless_told(url):
    with pytest.raises(PlaintextRefused) as caught:
        parse_address(url)
    assert caught.value.code == "SR-PLAINTEXT"
    assert not parse_address(url, insecure=True).secure


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_one_catalogued_error(text):
    try:
        parse_address(text)
        parse_address(f"https://{text}")
    except StrongroomError:
        pass
