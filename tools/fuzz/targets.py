"""What is fuzzed: every parser that reads bytes from outside, with sound inputs to start from.

A target takes bytes and may raise nothing but Strongroom's own errors: anything else ends the fuzzer with the input.
Imports happen inside, after the fuzzer has instrumented the packages.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import broker_targets
import queue_targets

Parser: TypeAlias = Callable[[bytes], object]

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "differential"))  # the forge makes the seeds


@dataclass(frozen=True)
class Target:
    """A parser, made on demand, and sound inputs for it."""

    make: Callable[[], Parser]
    seeds: Callable[[], Iterable[bytes]]


def _cases() -> list[tuple[bytes, dict[str, str]]]:
    import forge

    kinds = (("SGX", 3, 1), ("SGX", 4, 1), ("TDX", 4, 2), ("TDX", 5, 2), ("TDX", 5, 3))
    cases = [forge.render(forge.sound(*kind)) for kind in kinds]
    return [(case.quote, case.collateral) for case in cases]


def _collateral(name: str, form: Callable[[str], bytes] = str.encode) -> Callable[[], Iterable[bytes]]:
    return lambda: [form(collateral[name]) for _, collateral in _cases()]


def _quotes() -> Iterable[bytes]:
    return [quote for quote, _ in _cases()]


def _quote() -> Parser:
    from strongroom.attestation import parse_quote

    return lambda data: parse_quote(data).to_json_object()


def _verify() -> Parser:
    """Fuzz the whole verification: the first byte says which part of sound evidence the rest replaces."""
    import forge

    from strongroom.attestation import Anchor, Collateral, verify

    case = forge.render(forge.sound("TDX", 5, 3))
    anchor, names = Anchor.from_certificate(case.root), sorted(case.collateral)

    def parse(data: bytes) -> object:
        part, rest = data[:1], data[1:]
        strings, quote = dict(case.collateral), case.quote
        if part and part[0] < len(names):
            strings[names[part[0]]] = rest.decode("latin-1")
        else:
            quote = rest
        return verify(quote, Collateral(**strings), anchors=[anchor], at=case.at)

    return parse


def _verify_seeds() -> Iterable[bytes]:
    quote, strings = _cases()[-1]
    yield b"\xff" + quote
    for number, name in enumerate(sorted(strings)):
        yield bytes([number]) + strings[name].encode("latin-1")


def _collateral_json() -> Parser:
    from strongroom.attestation import Collateral

    return Collateral.from_json


def _certificate() -> Parser:
    from strongroom.attestation.certificates import parse_certificate
    from strongroom.attestation.pck import read_pck_claims

    return lambda data: read_pck_claims(parse_certificate(data))


def _certificate_seeds() -> Iterable[bytes]:
    import forge

    for ca in ("Platform", "Processor"):
        for made in forge.sound("SGX", 3, 1, ca=ca).certificates.values():
            yield forge.render_certificate(made)


def _chain() -> Parser:
    from strongroom.attestation.certificates import parse_pem_chain
    from strongroom.wire import Malformed

    return lambda data: parse_pem_chain(data, what="chain", error=Malformed)


def _crl() -> Parser:
    from strongroom.attestation.crl import parse_crl
    from strongroom.wire import Malformed

    return lambda data: parse_crl(data, what="CRL", error=Malformed)


def _tcb_info() -> Parser:
    from strongroom.attestation.tcb_info import parse_tcb_info

    return parse_tcb_info


def _identity() -> Parser:
    from strongroom.attestation.identity import parse_identity

    return parse_identity


def _sigstruct() -> Parser:
    from strongroom.gramine import sigstruct

    return lambda data: sigstruct.parse(data).check()


def _elf() -> Parser:
    from strongroom.gramine import elf

    return elf.parse


def _manifest() -> Parser:
    from strongroom.gramine import manifest

    return lambda data: manifest.parse(data.decode("latin-1"))


def _ra_config() -> Parser:
    from strongroom.gramine import ra_config

    return ra_config.parse


def _qcnl() -> Parser:
    from strongroom.collateral import qcnl

    return qcnl.parse


def _policy() -> Parser:
    from strongroom.broker.policy import file as policy_file

    return lambda data: policy_file.parse(data.decode("latin-1"))


def _ra_tls() -> Parser:
    from datetime import UTC, datetime

    from strongroom.pki import ratls

    at = datetime(2026, 6, 15, tzinfo=UTC)
    return lambda data: ratls.open_certificate(data, at=at)


def _tagged_evidence() -> Parser:
    from strongroom.pki import tagged_evidence

    return tagged_evidence.decode


def _token() -> Parser:
    from strongroom.attestation.tokens.jws import parse_jws

    return parse_jws


def _http2() -> Parser:
    from http2_conversations import converse

    return converse


def _http2_bytes() -> Parser:
    """Feed the bytes themselves, after a sound greeting, to every implementation."""
    from http2_conversations import SETTINGS, frame

    from strongroom.serving.http2 import PREFACE, implementations, open_session

    def parse(data: bytes) -> object:
        heard = []
        for name in implementations():
            session = open_session(SETTINGS, implementation=name)
            heard.append((session.receive(PREFACE + frame(4, 0, 0) + data, 0.0), session.send(1 << 20), session.ended))
        if any(one != heard[0] for one in heard):
            raise AssertionError("the implementations differ")
        return heard

    return parse


def _rest_body() -> Parser:
    """Read a body as predict and as classify do, whichever way the bytes point."""
    from strongroom.tfserving.datatypes import DataType
    from strongroom.tfserving.json_examples import input_of
    from strongroom.tfserving.json_request import arrays_of
    from strongroom.tfserving.json_values import parse_body
    from strongroom.tfserving.signatures import TensorSpec

    kinds = (DataType.DT_FLOAT, DataType.DT_INT32, DataType.DT_STRING, DataType.DT_BOOL)

    def parse(data: bytes) -> object:
        body = parse_body(data)
        if "examples" in body or "context" in body:
            return input_of(body)
        kind = kinds[len(data) % len(kinds)]
        return arrays_of(body, {"x": TensorSpec(name="x", dtype=kind, shape=None)})

    return parse


def _json_numbers() -> Parser:
    """Read a list by every fast reader there is: the exact parser's bits, or nothing."""
    from strongroom.errors import StrongroomError
    from strongroom.tfserving.datatypes import DataType
    from strongroom.tfserving.json_fast import FROM_BYTES, FastJson, regular_body
    from strongroom.tfserving.json_request import arrays_of
    from strongroom.tfserving.json_simd import SimdReader
    from strongroom.tfserving.json_values import parse_body
    from strongroom.tfserving.signatures import TensorSpec

    fast = [FastJson(), FastJson(SimdReader())]
    kinds = (DataType.DT_FLOAT, DataType.DT_DOUBLE, DataType.DT_INT32, DataType.DT_INT64, DataType.DT_UINT64)

    def parse(data: bytes) -> object:
        specs = {"x": TensorSpec(name="x", dtype=kinds[data[0] % len(kinds)] if data else kinds[0], shape=None)}
        raw = b'{"instances": ' + data[1:] + b"}" + b" " * FROM_BYTES
        frame = regular_body(raw)
        found = [each.array(raw, frame, specs) for each in fast] if frame is not None else []
        try:
            exact = arrays_of(parse_body(raw), specs)["x"]
        except StrongroomError:
            exact = None
        for each in found:
            if each is not None and (
                exact is None or (each["x"].shape, each["x"].tobytes()) != (exact.shape, exact.tobytes())
            ):
                raise AssertionError(f"a fast reader has {each}, the exact parser {exact}")
        return exact

    return parse


def _inference_request() -> Parser:
    from strongroom.tfserving.examples import serialized_examples
    from strongroom.tfserving.messages import ClassificationRequest
    from strongroom.tfserving.messages import parse as parse_message

    return lambda data: serialized_examples(parse_message(ClassificationRequest, data).input)


_ELF: bytes = bytes.fromhex("7f454c4602010100") + bytes(8) + bytes.fromhex("03003e0001000000") + bytes(40)
_MANIFEST: bytes = b'loader.argv = ["a"]\nlibos.entrypoint = "/a"\nsgx.debug = false\nsgx.trusted_files = ["file:a"]\n'
_QCNL: bytes = b'{ // where\n "pccs_url": "https://localhost:8081/sgx/certification/v4/", "retry_times": 6 }'
_RA_CONFIG: bytes = json.dumps({"verify_mr_enclave": "on", "sgx_mrs": [{"mr_enclave": "ab" * 32}]}).encode()
_POLICY: bytes = f'version = 1\n[[rule]]\nname = "a"\nmrenclave = "{"ab" * 32}"\nrelease = "model/a/1"\n'.encode()
_TOKEN: bytes = b"eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJhIn0." + b"A" * 342
_ROWS: bytes = b'{"signature_name": "s", "instances": [{"x": 1.5}, {"x": [true, null, {"b64": "YQ=="}]}]}'
_EXAMPLES: bytes = b'{"context": {"a": 1}, "examples": [{"x": [2.0, 1e9]}, {"y": ["a", {"b64": "YQ=="}]}]}'
_NUMBERS: tuple[bytes, ...] = (
    b"\x00[[1, -0.5], [2e3,4]]", b"\x01[0.12345678901234567,1e-320, NaN,-Infinity,12345678.5]", b"\x02[[[1],[-2]]]",
    b"\x03[9223372036854775807,-0]", b"\x04[18446744073709551615]",
)  # fmt: skip
_CLASSIFICATION: bytes = bytes.fromhex("0a030a016d121712150a0012110a0f0a0d0a0178120812060a0400000040")

TARGETS: dict[str, Target] = {
    "quote": Target(_quote, _quotes),
    "verify": Target(_verify, _verify_seeds),
    "collateral": Target(_collateral_json, lambda: [json.dumps(strings).encode() for _, strings in _cases()]),
    "certificate": Target(_certificate, _certificate_seeds),
    "chain": Target(_chain, _collateral("tcb_info_issuer_chain")),
    "crl": Target(_crl, _collateral("pck_crl", bytes.fromhex)),
    "tcb-info": Target(_tcb_info, _collateral("tcb_info")),
    "qe-identity": Target(_identity, _collateral("qe_identity")),
    "ra-tls": Target(_ra_tls, _certificate_seeds),
    "tagged-evidence": Target(_tagged_evidence, lambda: [bytes.fromhex("d9ea7482") + b"\x41\x00" * 2]),
    "token": Target(_token, lambda: [_TOKEN]),
    "sigstruct": Target(_sigstruct, lambda: [bytes.fromhex("06000000e10000000000010000000000") + bytes(1792)]),
    "elf": Target(_elf, lambda: [_ELF]),
    "manifest": Target(_manifest, lambda: [_MANIFEST]),
    "ra-config": Target(_ra_config, lambda: [_RA_CONFIG]),
    "qcnl": Target(_qcnl, lambda: [_QCNL]),
    "http2": Target(_http2, lambda: [bytes(range(256)), bytes([0, 0, 4, 0, 0] * 20)]),
    "http2-bytes": Target(_http2_bytes, lambda: [bytes.fromhex("0000050105000000018286840161"), bytes(17)]),
    "rest-body": Target(_rest_body, lambda: [_ROWS, _EXAMPLES]),
    "json-numbers": Target(_json_numbers, lambda: _NUMBERS),
    "inference-request": Target(_inference_request, lambda: [_CLASSIFICATION]),
    "policy": Target(_policy, lambda: [_POLICY]),
    **{name: Target(make, seeds) for name, make, seeds in (*broker_targets.LINES, *queue_targets.LINES)},
}
