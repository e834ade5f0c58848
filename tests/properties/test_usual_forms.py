"""What is read in one step because it has its usual form reads the same element by element, changed bytes included."""

import importlib.util
import json
import os
import re
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation import EvidenceRefused, certificates, crl, pck, tcb_info
from strongroom.attestation.certificates import parse_certificate
from strongroom.attestation.codes import EvidenceCode, refusal
from strongroom.attestation.crl import parse_crl
from strongroom.attestation.pck import read_pck_claims
from strongroom.attestation.tcb_info import parse_tcb_info
from strongroom.attestation.usual_levels import MARK, cut_levels
from strongroom.errors import StrongroomError
from strongroom.pki import ratls, self_signed, tagged_evidence
from strongroom.pki.tagged_evidence import TaggedEvidence
from strongroom.wire import der

LITTLE_WORLD = Path(__file__).resolve().parents[1] / "unit" / "attestation" / "little_world.py"
VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[3] / "shared" / "vectors")
).joinpath("dcap")
KINDS = ["certificate", "list", "extension", "TCB info", "self-signed", "evidence"]
NEVER = re.compile(rb"(?!)")


@cache
def little_world():
    """Load the attestation tests' helper: in importlib mode it cannot be imported by name."""
    name = "strongroom_tests_little_world"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, LITTLE_WORLD)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def element_by_element():
    """Let no usual form match any more."""
    stack = ExitStack()
    for module, names in (
        (der, ("_EXTENSION", "_LONG_EXTENSION", "_ATTRIBUTE", "_SHORT_OID")),
        (certificates, ("_USUAL_VALIDITY",)),
        (crl, ("_USUAL_ENTRY",)),
        (pck, ("_USUAL_TCB",)),
    ):
        for name in names:
            stack.enter_context(patch.object(module, name, NEVER))
    stack.enter_context(patch.object(self_signed, "_SPELLED", {}))
    stack.enter_context(patch.object(tagged_evidence, "_usual", lambda _value: None))
    stack.enter_context(patch.object(certificates, "_USUAL_CONSTRAINTS", {}))
    stack.enter_context(patch.object(certificates, "_USUAL_USAGES", {}))
    stack.enter_context(patch.object(tcb_info, "cut_levels", lambda _text: None))
    return stack


def both(read, data):
    """Return what a reader makes of `data` at once and element by element: a value, or the code of the refusal."""

    def outcome():
        try:
            return read(data)
        except EvidenceRefused as refused:
            return refused.reason
        except StrongroomError as problem:
            return problem.code

    quick = outcome()
    with element_by_element():
        return quick, outcome()


def read_certificate(data):
    return parse_certificate(data, error=refusal(EvidenceCode.PCK_CHAIN))


def read_list(data):
    return parse_crl(data, what="list", error=refusal(EvidenceCode.MALFORMED))


@cache
def sound_certificate():
    return read_certificate(pem_bytes(little_world().LittleWorld().certificate("leaf")))


def read_self_signed(data):
    found = self_signed.parse(data, error=ratls.RaTlsCertificateMalformed)
    return found, self_signed.extensions_of(found.extensions, error=ratls.EvidenceAmbiguous)


@cache
def self_signed_certificate():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return ratls.make_certificate(
        ratls.generate_key(), lambda report_data: bytes(436) + report_data, not_before=at, not_after=at
    )


def read_extension(data):
    return read_pck_claims(replace(sound_certificate(), sgx_extensions=(data,)))


def pem_bytes(certificate):
    serialization = little_world().serialization
    return certificate.public_bytes(serialization.Encoding.DER)


@cache
def samples():
    """Return sound data for each reader, by name: the reader and some texts."""
    world = little_world().LittleWorld()
    tdx = little_world().LittleWorld().become(4, 2)
    world.crls["pck"]["revoked"] = [int.from_bytes(bytes(range(17, 37)), "big"), 5]
    infos = [json.dumps(each.tcb_info, separators=(",", ":")).encode() for each in (world, tdx)]
    infos += [json.dumps(world.tcb_info).encode(), json.dumps(world.tcb_info, indent=1).encode()]
    found = {
        "certificate": (read_certificate, [pem_bytes(world.certificate(role)) for role in world.recipes]),
        "list": (read_list, [world.crl("pck"), world.crl("root")]),
        "extension": (read_extension, [world.sgx_value()]),
        "TCB info": (parse_tcb_info, infos),
        "self-signed": (read_self_signed, [self_signed_certificate()]),
        "evidence": (
            tagged_evidence.decode,
            [
                tagged_evidence.encode(TaggedEvidence(bytes(size), bytes(claims)))
                for size in (436, 4000)
                for claims in (1, 23, 24, 49, 255, 256)
            ],
        ),
    }
    index = VECTORS / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    for path in sorted({entry["collateral"] for entry in entries if entry["collateral"]}):
        parts = json.loads((VECTORS / path).read_text(encoding="utf-8"))
        found["TCB info"][1].append(parts["tcb_info"].encode())
        found["list"][1].append(bytes.fromhex(parts["pck_crl"]))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_sound_data_read_the_same(kind):
    read, texts = samples()[kind]
    for text in texts:
        quick, slow = both(read, text)
        assert quick == slow


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_changed_data_read_the_same(kind, data):
    read, texts = samples()[kind]
    text = bytearray(data.draw(st.sampled_from(texts)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        change = data.draw(st.sampled_from(["flip", "set", "cut", "twice"]))
        if change == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "set":
            text[at] = data.draw(st.sampled_from([0x00, 0x01, 0x30, 0x31, 0x7F, 0x80, 0x81, 0xFF]))
        elif change == "cut":
            del text[at : at + data.draw(st.integers(1, 9))]
        else:
            text[at:at] = text[at : at + data.draw(st.integers(1, 9))]
        if not text:
            return
    quick, slow = both(read, bytes(text))
    assert quick == slow


NUMBERS = st.sampled_from(
    ["0", "1", "9", "10", "99", "100", "255", "256", "999", "00", "01", "-1", "1.0", "true", '"1"']
)
WORDS = st.sampled_from(
    ["UpToDate", "OutOfDate", "Revoked", "", "uptodate", "2024-03-13T00:00:00Z", "2024-02-30T00:00:00Z",
     "2024-03-13T24:00:00Z", "A" * 256, "A" * 257, "é", "\\u0041", '\\"', "a b", "{", "]"]
)  # fmt: skip


COMPONENT = '{"svn":3}'
ADVISORIES = st.sampled_from(
    ["", ',"advisoryIDs":[]', ',"advisoryIDs":["A","B"]', ',"advisoryIDs":[1]', ',"advisoryIDs":["a,b"]',
     ',"advisoryIDs":["A", "B"]', ',"x":1']
)  # fmt: skip


@given(data=st.data())
def test_levels_of_any_spelling_read_the_same(data):
    def component():
        svn = data.draw(st.just("7") | st.just("255") | NUMBERS)
        more = data.draw(
            st.sampled_from(["", ',"category":"BIOS"', ',"type":"x","category":"y"', ',"svn":1', ' ,"a":{}'])
        )
        return f'{{"svn":{svn}{more}}}'

    usual = data.draw(st.booleans())

    def level(number):
        count = 16 if usual else data.draw(st.integers(15, 17))
        components = ",".join(f'{{"svn":{number}}}' if usual else component() for _ in range(count))
        pce = data.draw(st.just("13") | st.sampled_from(["65535", "65536", "99999"]) | NUMBERS)
        tdx = data.draw(st.sampled_from(["", f',"tdxtcbcomponents":[{",".join([COMPONENT] * 16)}]']))
        date = data.draw(st.just("2024-03-13T00:00:00Z") | WORDS)
        status = data.draw(st.just("UpToDate") | WORDS)
        return (
            f'{{"tcb":{{"sgxtcbcomponents":[{components}],"pcesvn":{pce}{tdx}}},"tcbDate":"{date}",'
            f'"tcbStatus":"{status}"{data.draw(ADVISORIES)}}}'
        )

    levels = ",".join(level(number) for number in range(data.draw(st.integers(1, 3))))
    nested = data.draw(st.sampled_from(["", f'"more":{{"tcbLevels":[{levels}]}},', f'"more":"{MARK}",']))
    again = data.draw(st.sampled_from(["", f',"tcbLevels":[{levels}]', ',"tcbLevels":[]', f',"tcbLevels":"{MARK}"']))
    name, version = data.draw(st.sampled_from(["SGX", "TDX"])), data.draw(st.sampled_from(["3", "3", "2", "4"]))
    text = (
        f'{{"id":"{name}","version":{version},"issueDate":"2024-03-13T00:00:00Z","nextUpdate":"2024-04-13T00:00:00Z",'
        '"fmspc":"00606A000000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":17,'
        f'"tdxModule":{json.dumps(little_world().module())},{nested}"tcbLevels":[{levels}]{again}}}'
    )
    if data.draw(st.booleans()):
        text = re.sub(r'"tdxModule":\{[^}]*\},', "", text)
    quick, slow = both(parse_tcb_info, text.encode())
    assert quick == slow


def test_the_levels_of_genuine_tcb_info_are_cut(shared_vectors):
    """Otherwise the tests above compare one reader with itself."""
    assert shared_vectors.joinpath("dcap") == VECTORS
    texts = samples()["TCB info"][1]
    cut = [found for found in map(cut_levels, texts) if found]
    assert len(cut) > len(texts) * 3 // 4
    assert all(b"tcbStatus" not in rest or b"isvsvn" in rest for rest, _ in cut)
