"""Recorded evidence, the record of evaluation numbers and .sig measurements under any bytes: a value or one error."""

import json

from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation.recorded import RecordedEvidence
from strongroom.attestation.rollback import SeenNumbers
from strongroom.broker.policy import measurement_file
from strongroom.errors import StrongroomError
from strongroom.gramine import sigstruct

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("00906ED50000")
NAMES = st.sampled_from(["quote", "collateral", "at", "version", "seen", "root_key_id", "tee", "fmspc", "mr_td",
                         "rtmr0", "tcb_eval_ref_num", "tcb_info", "mr_enclave", "debug"])  # fmt: skip
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6))
ANYTHING = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())


@given(ANYTHING)
def test_any_bytes_are_a_value_or_one_catalogued_error(data):
    for parse, codes in (
        (RecordedEvidence.from_json, {"SR-RECORDED-EVIDENCE", "SR-COLLATERAL"}),
        (SeenNumbers.from_json, {"SR-ROLLBACK-STATE"}),
        (measurement_file.read_build, {"SR-MEASUREMENT"}),
    ):
        try:
            parse(data)
        except StrongroomError as refusal:
            assert refusal.code in codes


@given(st.binary(max_size=2000))
def test_any_bytes_behind_a_sig_files_header_are_one_catalogued_error(data):
    whole = (sigstruct.HEADER + data)[: sigstruct.SIGSTRUCT_BYTES].ljust(sigstruct.SIGSTRUCT_BYTES, b"\0")
    for candidate in (sigstruct.HEADER + data, whole):
        try:
            measurement_file.read_build(candidate)
        except StrongroomError as refusal:
            assert refusal.code.startswith(("SR-SIGSTRUCT", "SR-MEASUREMENT"))
