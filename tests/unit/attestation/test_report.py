"""The SGX report: 384 bytes there and back, flags, and the fields that no measurement covers."""

from dataclasses import replace

import pytest

from strongroom.attestation import Attributes, SgxReport
from strongroom.attestation.report import ReportFieldSize


@pytest.fixture
def report(world):
    return SgxReport.parse(world.body)


def test_the_layout_is_the_table_of_the_specification(lw):
    data = lw.report(
        cpu_svn=b"\x01" * 16,
        misc_select=0x01020304,
        isv_ext_prod_id=b"\x02" * 16,
        attributes=b"\x03" * 16,
        mr_enclave=b"\x04" * 32,
        mr_signer=b"\x05" * 32,
        config_id=b"\x06" * 64,
        isv_prod_id=0x0708,
        isv_svn=0x090A,
        config_svn=0x0B0C,
        isv_family_id=b"\x0d" * 16,
        report_data=b"\x0e" * 64,
    )
    report = SgxReport.parse(data)
    assert report.to_bytes() == data
    assert report.to_json_object() == {
        "cpu_svn": "01" * 16,
        "misc_select": 0x01020304,
        "isv_ext_prod_id": "02" * 16,
        "attributes": "03" * 16,
        "mr_enclave": "04" * 32,
        "mr_signer": "05" * 32,
        "config_id": "06" * 64,
        "isv_prod_id": 0x0708,
        "isv_svn": 0x090A,
        "config_svn": 0x0B0C,
        "isv_family_id": "0d" * 16,
        "report_data": "0e" * 64,
    }


@pytest.mark.parametrize(("bit", "flag"), [(0, "INIT"), (1, "DEBUG"), (2, "MODE64BIT"), (4, "PROVISION_KEY"),
                                           (5, "EINITTOKEN_KEY"), (7, "KSS")])  # fmt: skip
def test_flags_are_the_bits_of_the_specification(report, bit, flag):
    attributes = (1 << bit).to_bytes(8, "little") + bytes(8)
    assert replace(report, attributes=attributes).flags == Attributes[flag]
    assert replace(report, attributes=attributes).debug == (flag == "DEBUG")


@pytest.mark.parametrize("at", [20, 31, 96, 127, 160, 191, 262, 303])
def test_ev_12_reserved_bytes_are_kept_and_reported(world, at):
    spoiled = world.body[:at] + b"\x01" + world.body[at + 1 :]
    report = SgxReport.parse(spoiled)
    assert not report.reserved_clear
    assert report.to_bytes() == spoiled
    assert SgxReport.parse(world.body).reserved_clear


@pytest.mark.parametrize(
    ("name", "value"),
    [("config_id", b"\x01" + bytes(63)), ("config_svn", 1), ("isv_ext_prod_id", bytes(15) + b"\x01"),
     ("isv_family_id", b"\x80" + bytes(15))],
)  # fmt: skip
def test_fields_of_key_separation_are_seen_when_set(report, name, value):
    assert report.kss_fields_set == ()
    assert replace(report, **{name: value}).kss_fields_set == (name,)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mr_enclave", bytes(31)), ("report_data", bytes(65)), ("isv_svn", 1 << 16), ("isv_prod_id", -1),
     ("misc_select", 1 << 32), ("reserved", (bytes(12), bytes(32), bytes(32), bytes(41)))],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_refused(report, name, value):
    with pytest.raises(ReportFieldSize) as caught:
        replace(report, **{name: value})
    assert caught.value.code == "SR-REPORT-FIELD"
