"""The TD report: 584 or 648 bytes there and back, and its flags."""

from dataclasses import replace

import pytest

from strongroom.attestation import EvidenceRefused, TdAttributes, TdReport
from strongroom.attestation.report import ReportFieldSize

FIELDS = {
    "tee_tcb_svn": b"\x01" * 16, "mr_seam": b"\x02" * 48, "mr_signer_seam": b"\x03" * 48,
    "seam_attributes": b"\x04" * 8, "td_attributes": b"\x05" * 8, "xfam": b"\x06" * 8, "mr_td": b"\x07" * 48,
    "mr_config_id": b"\x08" * 48, "mr_owner": b"\x09" * 48, "mr_owner_config": b"\x0a" * 48, "rtmr0": b"\x0b" * 48,
    "rtmr1": b"\x0c" * 48, "rtmr2": b"\x0d" * 48, "rtmr3": b"\x0e" * 48, "report_data": b"\x0f" * 64,
}  # fmt: skip
MORE = {"tee_tcb_svn2": b"\x10" * 16, "mr_service_td": b"\x11" * 48}


@pytest.mark.parametrize("more", [{}, MORE], ids=["1.0", "1.5"])
def test_the_layout_is_the_table_of_the_specification(lw, more):
    data = lw.td_report(with_1_5=bool(more), **FIELDS, **more)
    report = TdReport.parse(data)
    assert report == TdReport(**FIELDS, **more)
    assert report.to_bytes() == data
    assert report.to_json_object() == {name: value.hex() for name, value in (FIELDS | more).items()}


@pytest.mark.parametrize("size", [0, 384, 583, 585, 647, 649, 885])
def test_ev_01_any_other_size_is_refused(size):
    with pytest.raises(EvidenceRefused, match="wanted 584 or 648") as caught:
        TdReport.parse(bytes(size))
    assert caught.value.reason == "QUOTE_TRUNCATED"


@pytest.mark.parametrize(
    ("bit", "flag"),
    [(0, "DEBUG"), (28, "SEPT_VE_DISABLE"), (29, "MIGRATABLE"), (30, "PKS"), (31, "KL"), (63, "PERFMON")],
)
def test_flags_are_the_bits_of_the_specification(bit, flag):
    report = TdReport(**(FIELDS | {"td_attributes": (1 << bit).to_bytes(8, "little")}))
    assert report.attributes == TdAttributes[flag]
    assert report.debug == (flag == "DEBUG")


@pytest.mark.parametrize(
    ("name", "value"),
    [("mr_td", bytes(47)), ("td_attributes", bytes(9)), ("tee_tcb_svn2", bytes(16)), ("mr_service_td", bytes(48))],
)
def test_a_field_that_does_not_fit_is_refused(name, value):
    with pytest.raises(ReportFieldSize) as caught:
        replace(TdReport(**FIELDS), **{name: value})
    assert caught.value.code == "SR-REPORT-FIELD"
    with pytest.raises(ReportFieldSize):
        TdReport(**FIELDS, **(MORE | {"mr_service_td": bytes(47)}))
