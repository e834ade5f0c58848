"""Settings of live collateral: read strictly, opened as they say."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest

from strongroom.attestation import INTEL
from strongroom.collateral import open_sources
from strongroom.collateral.client import HttpSource
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.freshness import BadFreshness, Freshness
from strongroom.collateral.opening import answer_sources
from strongroom.collateral.profiles import UnknownSource
from strongroom.collateral.settings import BadCollateralSettings, CollateralSettings, duration, parse, parse_file
from strongroom.pki import disk
from strongroom.secret import Secret


def test_the_defaults_are_strict():
    settings = parse({"sources": ["intel-pcs"]})
    assert settings.rules == Freshness(max_age=timedelta(days=7), grace=timedelta(0), min_eval_num=0)
    assert settings.choice.update == "standard"
    assert settings.cache == "collateral-cache"


def test_every_word_is_read():
    settings = parse({
        "sources": ["intel-pcs", "./mirror"], "qcnl": "/etc/q.conf", "cache": "c", "max_age": "36h", "min_eval_num": 17,
        "grace": "90m", "update": "early", "ca_file": "ca.pem", "subscription_key_file": "key",
    })  # fmt: skip
    assert settings.rules == Freshness(max_age=timedelta(hours=36), grace=timedelta(minutes=90), min_eval_num=17)
    assert (settings.choice.update, settings.qcnl) == ("early", "/etc/q.conf")


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"sources": []},
        {"sources": "intel-pcs"},
        {"sources": [1]},
        {"sources": [""]},
        {"sources": ["a"] * 17},
        {"sources": ["intel-pcs"], "source": "x"},
        {"sources": ["intel-pcs"], "max_age": 7},
        {"sources": ["intel-pcs"], "max_age": "7"},
        {"sources": ["intel-pcs"], "max_age": "999999d"},
        {"sources": ["intel-pcs"], "grace": True},
        {"sources": ["intel-pcs"], "min_eval_num": "17"},
        {"sources": ["intel-pcs"], "min_eval_num": True},
        {"sources": ["intel-pcs"], "update": "late"},
        {"sources": ["intel-pcs"], "cache": 1},
        {"sources": ["intel-pcs"], "cache": "a\0b"},
        {"sources": ["intel-pcs"], "verify_tls": False},
    ],
)
def test_dp_13_a_word_that_is_not_known_or_a_wrong_value_is_refused(table):
    with pytest.raises(BadCollateralSettings) as refused:
        parse(table)
    assert refused.value.code == "SR-COLLATERAL-SETTINGS"


@pytest.mark.parametrize(
    "data", [b"", b"sources = [", b"\xff", b"a" * (64 * 1024 + 1), b"[collateral]\nsources = ['x']"]
)
def test_a_file_of_settings_that_is_none_is_refused(data):
    with pytest.raises(BadCollateralSettings):
        parse_file(data)


def test_rules_out_of_range_are_refused():
    with pytest.raises(BadFreshness):
        parse({"sources": ["intel-pcs"], "grace": "31d"})


def test_times_are_spelled_with_their_unit():
    assert [duration(text) for text in ("7d", "12h", "30m")] == [
        timedelta(days=7),
        timedelta(hours=12),
        timedelta(minutes=30),
    ]


def opened(settings: CollateralSettings, base: Path) -> list[object]:
    return list(answer_sources(settings, base))


def test_sources_are_opened_in_their_order(tmp_path):
    conf = tmp_path / "qcnl.conf"
    conf.write_text('{"pccs_url": "https://pccs:8081/sgx/certification/v4/"}')
    settings = parse({"sources": ["./mirror", "https://other:8081", "azure"], "qcnl": "qcnl.conf"})
    found = opened(settings, tmp_path)
    assert [type(each) for each in found] == [HttpSource, FileSource, HttpSource, HttpSource]
    assert [each.name for each in found] == [
        "https://pccs:8081", str(tmp_path / "mirror"), "https://other:8081", "azure",
    ]  # fmt: skip


def test_dp_11_what_a_qcnl_conf_weakens_is_logged(tmp_path, caplog):
    (tmp_path / "q.conf").write_text(
        '{"pccs_url": "https://pccs/sgx/certification/v4/", "use_secure_cert": false, "x": 1}'
    )
    with caplog.at_level(logging.WARNING):
        opened(parse({"qcnl": "q.conf"}), tmp_path)
    assert "NOT adopted" in caplog.text
    assert "unknown key 'x'" in caplog.text


def test_the_update_of_a_qcnl_conf_is_taken(tmp_path):
    (tmp_path / "q.conf").write_text('{"tcb_update_type": "early"}')
    live = open_sources(parse({"qcnl": "q.conf"}), anchors=[INTEL], base=tmp_path)
    assert live.choice.update == "early"
    assert (tmp_path / "collateral-cache" / "entries").is_dir()


def test_intels_key_is_given_to_intel_alone(tmp_path):
    disk.write_secret(tmp_path / "key", Secret(b"sesame"))
    settings = parse({"sources": ["intel-pcs", "https://pccs"], "subscription_key_file": "key"})
    intel, other = opened(settings, tmp_path)
    assert intel._subscription_key is not None
    assert other._subscription_key is None


def test_an_unknown_source_is_refused_when_it_is_opened(tmp_path):
    with pytest.raises(UnknownSource):
        open_sources(parse({"sources": ["intel-psc"]}), anchors=[INTEL], base=tmp_path)
