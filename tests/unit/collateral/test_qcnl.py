"""An operator's sgx_default_qcnl.conf is read as it is: every key, comments, the old form; weak settings are said."""

import json

import pytest

from strongroom.collateral.api import Kind, Request
from strongroom.collateral.profiles import UnknownSource, from_qcnl
from strongroom.collateral.qcnl import MAX_HOURS, MAX_QCNL_BYTES, Qcnl, QcnlMalformed, parse

FULL = b"""{
  // *** ATTENTION : This file is in JSON format so the keys are case sensitive. Don't change them.
  //PCCS server address
  "pccs_url": "https://pccs.example:8081/sgx/certification/v4/"
  // To accept insecure HTTPS certificate, set this option to false
  ,"use_secure_cert": false
  /* a "quoted" comment
     over two lines */
  ,"collateral_service": "https://api.trustedservices.intel.com/sgx/certification/v4/"
  ,"tcb_update_type" : "early"
  ,"pccs_api_version": "3.0"
  ,"retry_times": 2, "retry_delay": 5
  ,"local_pck_url": "http://localhost:8081/sgx/certification/v4/"
  ,"pck_cache_expire_hours": 1, "verify_collateral_cache_expire_hours": 0
  ,"local_cache_only": true
  ,"custom_request_options" : {"get_cert": {"headers": {"head1": "value1"}, "params": {"param1": "a//b"}}}
}
"""


def test_every_key_is_read():
    assert parse(FULL) == Qcnl(
        pccs_url="https://pccs.example:8081/sgx/certification/v4/",
        use_secure_cert=False,
        collateral_service="https://api.trustedservices.intel.com/sgx/certification/v4/",
        tcb_update_type="early",
        pccs_api_version="3.0",
        retry_times=2,
        retry_delay_s=5,
        local_pck_url="http://localhost:8081/sgx/certification/v4/",
        pck_cache_expire_hours=1,
        verify_collateral_cache_expire_hours=0,
        local_cache_only=True,
        get_cert_headers=(("head1", "value1"),),
        get_cert_parameters=(("param1", "a//b"),),
    )


def test_defaults_are_those_of_intel():
    conf = parse(b"{}")
    assert conf == Qcnl()
    assert (conf.use_secure_cert, conf.tcb_update_type, conf.retry_times) == (True, "standard", 6)


def test_an_unknown_key_is_noted_with_its_line():
    notes = parse(b'{\n // one\n "pccs_uri": "x",\n "custom_request_options": {"put": {}}}').notes
    assert "line 3: unknown key 'pccs_uri'" in notes[1]
    assert "line 4: unknown option 'put'" in notes[0]


def test_the_form_before_json_is_read_too():
    conf = parse(b"# PCCS\r\nPCCS_URL=https://pccs:8081/sgx/certification/v3/\r\nUSE_SECURE_CERT=FALSE\r\nOTHER=1\n")
    assert (conf.pccs_url, conf.use_secure_cert) == ("https://pccs:8081/sgx/certification/v3/", False)
    assert "old KEY=VALUE form" in conf.notes[0]
    assert "line 4" in conf.notes[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{\n\n"pccs_url": 1}', "line 3: pccs_url is not an http"),
        (b'{"pccs_url": "ftp://x/"}', "http or https URL"),
        (b'{"use_secure_cert": "false"}', "use_secure_cert is not true or false"),
        (b'{"use_secure_cert": 0}', "use_secure_cert"),
        (b'{"tcb_update_type": "late"}', "tcb_update_type"),
        (b'{"pccs_api_version": "2.0"}', "pccs_api_version"),
        (b'{"retry_times": -1}', "retry_times"),
        (b'{"retry_times": true}', "retry_times"),
        (b'{"retry_delay": 1.5}', "retry_delay"),
        (b'{"local_cache_only": null}', "local_cache_only"),
        (b'{"pck_cache_expire_hours": -1}', "pck_cache_expire_hours"),
        (b'{"pck_cache_expire_hours": "168"}', "a number of hours"),
        (b'{"use_secure_cert": TRUE}', "line 1"),
        (b'{"pccs_url": "https://a/",}', "line 1"),
        (b'{"custom_request_options": []}', "custom_request_options"),
        (b'{"custom_request_options": {"get_cert": {"headers": {"a": "x\\r\\ny"}}}}', "custom_request_options"),
        (b'{"custom_request_options": {"get_cert": {"headers": {"a b": "x"}}}}', "custom_request_options"),
        (b'{"pccs_url": "https://a/", "pccs_url": "https://b/"}', "twice"),
        (b'{"pccs_url": ', "line 1"),
        (b'{"a": "never ends', "Unterminated|line 1"),
        (b"\xff{}", "not UTF-8"),
        (b"hello", "line 1: neither JSON nor KEY=VALUE"),
        (b"PCCS_URL=nonsense", "http or https URL"),
        (b" " * (MAX_QCNL_BYTES + 1), "longer than"),
    ],
)
def test_sa_07_a_value_that_a_key_cannot_have_is_refused_with_its_place(text, words):
    with pytest.raises(QcnlMalformed, match=words) as refused:
        parse(text)
    assert refused.value.code == "SR-QCNL"


def test_hours_may_have_a_fraction_and_end_at_the_most_that_counts():
    assert parse(b'{"pck_cache_expire_hours": 0.5}').pck_cache_expire_hours == 0.5
    assert parse(b'{"verify_collateral_cache_expire_hours": 1e999}').verify_collateral_cache_expire_hours == MAX_HOURS


@pytest.mark.parametrize("url", ["http://[::1/", "https://h:99999/"])
def test_sa_07_an_address_that_is_none_is_refused_in_words(url):
    with pytest.raises(UnknownSource, match="is not the address of a PCCS"):
        from_qcnl(parse(json.dumps({"pccs_url": url}).encode()))


def test_a_file_of_another_editor_is_read_as_well():
    text = '\ufeff{\r\n  // PCCS\r\n  "pccs_url": "https://pccs:8081/a//b" // not a comment in it\r\n}\r\n'
    assert parse(text.encode()).pccs_url == "https://pccs:8081/a//b"


def test_comments_that_never_end_cost_linear_time():
    for text in (b'{"' + b"/*" * 30000, b"{" + b"/*" * 30000, b'{"a' + b'\\"' * 30000, b"{" + b"/*/" * 20000):
        with pytest.raises(QcnlMalformed):
            parse(text)


def test_sources_are_asked_in_the_order_that_the_file_means():
    local, collateral = from_qcnl(parse(FULL))
    assert local.answers(Kind.PCK_CERT)
    assert not local.answers(Kind.TCB)
    assert local.pck_headers == {"head1": "value1"}
    assert collateral.answers(Kind.TCB)
    assert not collateral.answers(Kind.PCK_CERT)
    assert (collateral.attempts, collateral.first_delay_s, collateral.constant_delay) == (3, 5.0, True)


def test_without_a_collateral_service_the_pccs_is_asked_for_everything():
    (only,) = from_qcnl(parse(b'{"pccs_url": "https://pccs:8081/sgx/certification/v4/"}'))
    assert only.answers(Kind.TCB)
    assert only.answers(Kind.PCK_CERT)
    assert only.url(Request(kind=Kind.ROOT_CRL)) == "https://pccs:8081/sgx/certification/v4/rootcacrl"


def test_local_cache_only_never_asks_the_network_for_a_pck_certificate():
    (only,) = from_qcnl(parse(b'{"pccs_url": "https://pccs:8081/sgx/certification/v4/", "local_cache_only": true}'))
    assert not only.answers(Kind.PCK_CERT)


def test_dp_11_an_insecure_certificate_is_adopted_for_loopback_alone_and_said():
    (other,) = from_qcnl(parse(b'{"pccs_url": "https://pccs:8081/sgx/certification/v4/", "use_secure_cert": false}'))
    (here,) = from_qcnl(
        parse(b'{"pccs_url": "https://localhost:8081/sgx/certification/v4/", "use_secure_cert": false}')
    )
    assert other.verify_tls
    assert "NOT adopted" in other.notes[0]
    assert not here.verify_tls
    assert "any TLS certificate" in here.notes[0]
