"""What comes from a source, a cache or an operator's file raises only our own errors, and survives a trip."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from strongroom.attestation import Tee
from strongroom.collateral import cache, qcnl
from strongroom.collateral.api import Answer, Kind, Request, decode_chain, encode_chain
from strongroom.collateral.assemble import Exchange, crl_der, signed_json
from strongroom.collateral.checks import Circumstances, check
from strongroom.collateral.freshness import SERVES, Freshness, Span
from strongroom.collateral.settings import parse
from strongroom.errors import StrongroomError

AT = datetime(2025, 6, 11, tzinfo=UTC)
TCB = Request(kind=Kind.TCB, parameters={"fmspc": "00906ED50000"})
HEADERS = st.dictionaries(
    st.sampled_from(["TCB-Info-Issuer-Chain", "SGX-TCBm", "SGX-PCK-CRL-Issuer-Chain", "X"]), st.text(max_size=80)
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda value, signature: json.dumps({"tcbInfo": value, "signature": signature}).encode(),
        st.recursive(st.none() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3)),
        st.text("0123456789abcdef", max_size=130),
    ),
)
SIGNED = st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=20), max_size=4)
REQUESTS = st.one_of(
    st.builds(
        lambda tee, number, update: Request(
            kind=Kind.TCB,
            tee=tee,
            parameters={"fmspc": f"{number:012x}"} | ({"update": update} if update else {}),
        ),
        st.sampled_from(list(Tee)),
        st.integers(0, 2**48 - 1),
        st.sampled_from(["", "early", "standard"]),
    ),
    st.builds(lambda ca: Request(kind=Kind.PCK_CRL, parameters={"ca": ca}), st.sampled_from(["platform", "processor"])),
    st.builds(
        lambda path: Request(kind=Kind.CRL, parameters={"uri": "https://crl.example/" + path}),
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60),
    ),
)


def only_ours(function, *arguments):
    try:
        return function(*arguments)
    except StrongroomError:
        return None


@given(st.text(max_size=80), st.text(max_size=200))
def test_any_target_is_read_or_refused(path, query):
    only_ours(Request.parse, path, query)
    only_ours(Request.parse, "/sgx/certification/v4/tcb", query)


@given(REQUESTS)
def test_a_request_survives_its_target(request):
    assert Request.parse(request.path, request.query) == request


@given(st.text(st.characters(max_codepoint=127), max_size=400))
def test_a_chain_survives_its_header(text):
    assert decode_chain(encode_chain(text)) == text


@given(BODIES, HEADERS)
def test_any_answer_is_read_or_refused(body, headers):
    answer = Answer(status=200, headers=headers, body=body)
    only_ours(signed_json, TCB, answer)
    only_ours(crl_der, Request(kind=Kind.ROOT_CRL), answer)


@given(st.sampled_from(list(Kind)), BODIES, HEADERS)
def test_any_answer_is_checked_without_surprise(kind, body, headers):
    parameters = {
        Kind.TCB: {"fmspc": "00906ED50000"},
        Kind.PCK_CRL: {"ca": "platform"},
        Kind.PCK_CERT: {"qeid": "00" * 16, "cpusvn": "00" * 16, "pcesvn": "0000", "pceid": "0000"},
        Kind.PCK_CERTS: {"encrypted_ppid": "00" * 384, "pceid": "0000"},
        Kind.CRL: {"uri": "https://a"},
    }.get(kind, {})
    exchange = Exchange(Request(kind=kind, parameters=parameters), Answer(status=200, headers=headers, body=body))
    assert only_ours(check, exchange, Circumstances(anchors=(), at=AT)) is None


@given(SIGNED, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_the_signed_text_is_sliced_exactly(value, separators, signature_first):
    text = json.dumps(value, separators=separators)
    parts = [f'"tcbInfo":{text}', '"signature":"' + "ab" * 64 + '"']
    body = "{" + ",".join(reversed(parts) if signature_first else parts) + "}"
    answer = Answer(status=200, headers={"TCB-Info-Issuer-Chain": "x"}, body=body.encode())
    assert signed_json(TCB, answer).text == text


@given(st.binary(max_size=300))
def test_any_qcnl_conf_is_read_or_refused(data):
    only_ours(qcnl.parse, data)
    only_ours(qcnl.parse, b"{" + data + b"}")


QCNL_KEYS = st.sampled_from(["pccs_url", "use_secure_cert", "retry_times", "custom_request_options", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(st.dictionaries(QCNL_KEYS, VALUES))
def test_any_json_qcnl_conf_is_read_or_refused(value):
    only_ours(qcnl.parse, json.dumps(value).encode())


WORDS = st.sampled_from(["sources", "cache", "max_age", "grace", "min_eval_num", "update", "x"])
SIMPLE = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=9))


@given(st.dictionaries(WORDS, SIMPLE))
def test_any_table_of_settings_is_read_or_refused(table):
    only_ours(parse, table)


@given(st.binary(max_size=400))
def test_any_cache_file_is_read_or_refused(data):
    only_ours(cache._read, data)


@given(REQUESTS, HEADERS, st.binary(max_size=200), st.text(max_size=20), st.datetimes(timezones=st.just(UTC)))
def test_an_entry_survives_the_disk(request, headers, body, source, fetched):
    entry = cache.Entry(
        request=request, answer=Answer(status=200, headers=headers, body=body), source=source, fetched=fetched
    )
    assert cache._read(cache._written(entry)) == entry


SPANS = st.builds(
    lambda kind, start, days: Span(
        kind=kind, issued=AT + timedelta(hours=start), until=AT + timedelta(hours=start, days=days)
    ),
    st.sampled_from([Kind.TCB, Kind.PCK_CRL, Kind.ROOT_CRL]),
    st.integers(-1000, 1000),
    st.floats(0.1, 400),
)
RULES = st.builds(
    lambda age, grace: Freshness(max_age=timedelta(hours=age), grace=timedelta(hours=grace)),
    st.integers(1, 1000),
    st.integers(0, 720),
)


@given(SPANS, RULES, st.floats(0, 1), st.integers(-3000, 3000))
def test_nothing_serves_outside_its_window_or_beyond_the_maximum_age(span, rules, jitter, hours):
    at = AT + timedelta(hours=hours)
    assert span.issued <= span.refresh_at(rules, jitter) <= span.refresh_at(rules) <= span.alarm_at(rules)
    assert span.alarm_at(rules) <= span.end(rules) <= span.until
    if span.standing(rules, at) in SERVES:
        assert span.issued <= at <= span.until
        assert span.kind is Kind.ROOT_CRL or at - span.issued <= rules.max_age


@given(SPANS, RULES, st.integers(0, 3000), st.integers(0, 3000))
def test_time_that_goes_on_never_makes_it_serve_again(span, rules, first, more):
    then, later = span.issued + timedelta(hours=first), span.issued + timedelta(hours=first + more)
    if span.standing(rules, then) not in SERVES:
        assert span.standing(rules, later) not in SERVES
