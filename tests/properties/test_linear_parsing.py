"""No input makes a parser do more than linear work, or hold more than linear memory.

Counted, not timed: every Python and C call, and the peak of allocated bytes, on hostile inputs of one size and of four
times that size. Inputs beyond a parser's limit are refused before they cost anything, so sizes stay below the limits.
"""

import json
from datetime import UTC, datetime

import pytest

from strongroom.attestation import Collateral, parse_quote
from strongroom.attestation.certificates import parse_certificate, parse_pem_chain
from strongroom.attestation.crl import parse_crl
from strongroom.attestation.identity import parse_identity
from strongroom.attestation.tcb_info import parse_tcb_info
from strongroom.attestation.tokens.jws import parse_jws
from strongroom.broker.policy import file as policy_file
from strongroom.collateral import qcnl
from strongroom.gramine import elf, manifest, ra_config, sigstruct
from strongroom.pki import ratls, tagged_evidence
from strongroom.wire import Malformed, cbor

AT = datetime(2026, 6, 15, tzinfo=UTC)
BLOCK = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
SMALL = 3000  # a factor that makes inputs of some 10 to 60 kB


def tlv(tag, content):
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def crl(text):
    return parse_crl(text, what="CRL", error=Malformed)


def chain(text):
    return parse_pem_chain(text, what="chain", error=Malformed)


def ra_tls(data):
    return ratls.open_certificate(data, at=AT)


def dumped(value):
    return json.dumps(value).encode()


def text_of(parser):
    return lambda data: parser(data.decode("latin-1"))


ENTRY = tlv(0x30, tlv(2, b"\x01") + tlv(0x17, b"260101000000Z"))
ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")
FAMILIES = {
    "quote of zeros": (parse_quote, lambda n: bytes(n * 10)),
    "quote with a long tail": (parse_quote, lambda n: bytes.fromhex("0300020000000000") + b"\x01" * n * 10),
    "collateral with many members": (Collateral.from_json, lambda n: dumped({str(i): "" for i in range(n)})),
    "collateral nested": (Collateral.from_json, lambda n: b'{"a":' + b"[" * n),
    "collateral with a long number": (Collateral.from_json, lambda n: b'{"a":' + b"9" * n + b"}"),
    "collateral with escapes": (Collateral.from_json, lambda n: b'{"a":"' + b"\\u0041" * n + b'"}'),
    "TCB info with many levels": (parse_tcb_info, lambda n: dumped(
        {"version": 3, "tcbType": 0, "id": "SGX", "tcbLevels": [{"tcb": {}}] * n})),
    "identity with equal keys": (parse_identity, lambda n: b"{" + b'"a":1,' * n + b'"a":1}'),
    "certificate of names": (parse_certificate, lambda n: tlv(0x30, tlv(0x31, b"") * n)),
    "certificate with a long identifier": (parse_certificate, lambda n: tlv(0x30, tlv(6, b"\x81" * n))),
    "RA-TLS certificate of names": (ra_tls, lambda n: tlv(0x30, tlv(0x30, tlv(0x31, b"\x30\x00") * n))),
    "chain of empty blocks": (chain, lambda n: BLOCK % b"AA==" * (n // 10)),
    "chain of begins": (chain, lambda n: b"-----BEGIN CERTIFICATE-----\n" * n),
    "chain of line ends": (chain, lambda n: BLOCK % (b"A" + b"\r\n" * n)),
    "chain of white space": (chain, lambda n: b"\n \t\r" * n),
    "CRL with many entries": (crl, lambda n: tlv(0x30, tlv(0x30, tlv(2, b"\x01") + ALGORITHM + tlv(0x30, b"")
        + tlv(0x17, b"260101000000Z") * 2 + tlv(0x30, ENTRY * n)) + ALGORITHM + tlv(3, b"\0"))),
    "tagged evidence": (tagged_evidence.decode, lambda n: b"\xda\x00\x01\x00\x00" + b"\x9a\x00\x01\x00\x00" * n),
    "CBOR of many items": (cbor.decode, lambda n: b"\x9a" + n.to_bytes(4, "big") + b"\x01" * n),
    "token of dots": (parse_jws, lambda n: b"." * n),
    "token of letters": (parse_jws, lambda n: b"A" * n),
    "SIGSTRUCT of any size": (sigstruct.parse, bytes),
    "libpal of headers": (elf.parse, lambda n: bytes.fromhex("7f454c4602010100") + bytes(8)
        + bytes.fromhex("03003e0001000000") + bytes(8) + (64).to_bytes(8, "little") + bytes(24) + b"\x01" * n * 5),
    "manifest of tables": (text_of(manifest.parse), lambda n: b"".join(b"[a%d]\n" % i for i in range(n))),
    "manifest of dots": (text_of(manifest.parse), lambda n: b"a" + b".a" * n + b" = 1"),
    "ra_config of entries": (ra_config.parse, lambda n: dumped({"sgx_mrs": [{"mr_enclave": "ab" * 32}] * n})),
    "qcnl.conf of comments": (qcnl.parse, lambda n: b"{" + b"// x\n" * n + b"}"),
    "qcnl.conf of slashes": (qcnl.parse, lambda n: b'{"a":"' + b"/" * n),
    "policy of rules": (text_of(policy_file.parse), lambda n: b"version = 1\n" + b"[[rule]]\n" * (n // 10)),
    "policy of quotes": (text_of(policy_file.parse), lambda n: b"a = '" + b'"' * n),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_four_times_the_input_is_at_most_about_four_times_the_work(family, work):
    parser, make = FAMILIES[family]
    work(parser, make(SMALL))  # caches of regular expressions and the like
    calls, peak = work(parser, make(SMALL))
    more_calls, more_peak = work(parser, make(4 * SMALL))
    assert more_calls <= 4.5 * calls + 500
    assert more_peak <= 4.5 * peak + 500_000  # tables grow in steps


def test_ev_07_what_is_too_large_is_refused_before_it_costs_anything(work):
    for parser, data in ((parse_quote, bytes(2**24)), (Collateral.from_json, b" " * 2**24), (chain, b"A" * 2**24)):
        calls, peak = work(parser, data)
        assert calls < 2000
        assert peak < 3 * 2**24
