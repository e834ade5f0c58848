"""The broker's parsers under any text, its files written and read back, and its decisions under any rules."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from strongroom.attestation import Anchor, TcbStatus, TrustDomain, verify
from strongroom.broker.ledger import chain
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import measurement_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.release import Denial, Grant, SignatureCheck, decide
from strongroom.broker.tls import TlsFailed, TlsFloods, TlsPeer, server_context
from strongroom.errors import StrongroomError
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World

AT = datetime(2026, 3, 4, tzinfo=UTC)
ENCLAVES, SIGNERS, SECRETS = [b"\xe1" * 32, b"\xe2" * 32], [b"\x51" * 32, b"\x52" * 32], ["model/a/1", "model/b/1"]
SMALL = st.integers(0, 1)
NAMES = st.text(min_size=1, max_size=20).filter(policy_file._NAME.fullmatch)
SIGNATURES = st.builds(
    SignatureCheck,
    mrsigner=st.sampled_from(SIGNERS), isvprodid=SMALL, min_isvsvn=SMALL, max_isvsvn=st.none() | st.integers(1, 2),
)  # fmt: skip
WORDS = ["[[rule]]", "version", "name", "release", "mrenclave", "mrsigner", "=", "1", '"' + "ab" * 32 + '"', "true",
         '"model/m/1"', '["UpToDate"]', "[", "]", "\n", "\n", "\n", "trust_domains", "'any'"]  # fmt: skip


def domains(words):
    return frozenset(map(TrustDomain, words))


@st.composite
def rules(draw):
    """A rule as an owner could write it, by measurement or by signer, weakened or not."""
    by_signer = draw(st.booleans())
    signature = draw(SIGNATURES if by_signer else st.just(SignatureCheck()) | SIGNATURES)
    rule = policy_text.strict_rule(
        draw(NAMES), release=draw(st.sampled_from(SECRETS)), signature=signature,
        mrenclave=None if by_signer else draw(st.sampled_from(ENCLAVES)),
        trust_domains=draw(st.sampled_from([{"simulated"}, {"simulated", "intel"}, {"intel"}]).map(domains)),
        max_collateral_age_days=draw(st.integers(1, 366)),
    )  # fmt: skip
    policy = replace(
        rule.policy, allow_debug=draw(st.booleans()),
        accepted_tcb_status=rule.policy.accepted_tcb_status | draw(st.sets(st.just(TcbStatus.OUT_OF_DATE))),
    )  # fmt: skip
    return replace(rule, policy=policy, require_fresh=draw(st.booleans()))


@given(st.text(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
def test_any_text_is_a_policy_or_one_catalogued_error(text):
    for candidate in (text, "version = 1\n" + text):
        try:
            policy_file.parse(candidate)
        except StrongroomError as refusal:
            assert refusal.code == "SR-POLICY-FILE"


@given(rules())
def test_a_rule_is_read_back_as_it_was_written(rule):
    [found] = policy_file.parse("version = 1\n" + policy_text.render(rule)).rules
    assert found == rule


@given(st.lists(rules(), max_size=4, unique_by=lambda rule: rule.name))
def test_a_whole_file_is_read_back_or_refused_as_ambiguous(listed):
    text = "version = 1\n" + "".join(map(policy_text.render, listed))
    try:
        assert list(policy_file.parse(text).rules) == listed
    except StrongroomError as refusal:
        assert "different secrets" in refusal.sentence


@given(st.binary(max_size=100) | st.dictionaries(st.text(max_size=5), st.integers() | st.text()).map(json.dumps))
def test_any_bytes_are_a_measurement_or_one_catalogued_error(data):
    try:
        measurement_file.read_measurement(data if isinstance(data, bytes) else data.encode())
    except StrongroomError as refusal:
        assert refusal.code == "SR-MEASUREMENT"


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Verdicts on real quotes of any identity, in one world."""
    world = World.create(tmp_path_factory.mktemp("property") / "world", now=AT)
    collateral, anchor = world.collateral(AT), Anchor.from_certificate(world.root_der)
    held = {}

    def run(identity):
        if identity not in held:
            held[identity] = verify(world.quote(identity, bytes(64)), collateral, anchors=[anchor], at=AT)
        return held[identity]

    return run


IDENTITIES = st.builds(
    EnclaveIdentity, mr_enclave=st.sampled_from(ENCLAVES), mr_signer=st.sampled_from(SIGNERS),
    isv_prod_id=SMALL, isv_svn=st.integers(0, 3), debug=st.booleans(),
)  # fmt: skip


def expected(rule, identity, *, fresh):
    """Say by hand whether an up-to-date simulated build fulfils a rule: the rule read aloud."""
    policy, extra = rule.policy, rule.signature
    return all(
        (
            TrustDomain.SIMULATED in policy.trust_domains,
            policy.allow_debug or not identity.debug,
            fresh or not rule.require_fresh,
            policy.max_collateral_age >= timedelta(days=1),
            policy.mrenclave in (None, identity.mr_enclave),
            policy.mrsigner in (None, identity.mr_signer) and extra.mrsigner in (None, identity.mr_signer),
            policy.isvprodid in (None, identity.isv_prod_id) and extra.isvprodid in (None, identity.isv_prod_id),
            identity.isv_svn >= (policy.min_isvsvn or 0) and identity.isv_svn >= (extra.min_isvsvn or 0),
            extra.max_isvsvn is None or identity.isv_svn <= extra.max_isvsvn,
        )
    )


@given(st.lists(rules(), max_size=5), IDENTITIES, st.booleans())
@settings(max_examples=300)
def test_a_secret_is_granted_exactly_when_all_fulfilled_rules_name_it(judge, listed, identity, fresh):
    fulfilled = {rule.release for rule in listed if expected(rule, identity, fresh=fresh)}
    outcome = decide(judge(identity), listed, fresh=fresh, at=AT)
    if len(fulfilled) == 1:
        assert isinstance(outcome, Grant)
        assert {outcome.secret_name} == fulfilled
    else:
        assert isinstance(outcome, Denial)
        assert all(reason.code and reason.observed and reason.expected and reason.fix for reason in outcome.reasons)
        assert outcome.reasons


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.text(max_size=5)), min_size=2, max_size=6), st.data())
def test_any_change_of_a_chain_shows(records, data):
    head, lines = chain.EMPTY, []
    for record in records:
        line, head = chain.write_line(head, {"kind": "decision", **record}, at=AT)
        lines.append(line.rstrip(b"\n"))
    assert chain.check(lines, remembered=head) == head
    order = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=len(lines) + 1))
    changed = [lines[place] for place in order]
    if changed != lines:
        with pytest.raises(chain.LedgerBroken):
            chain.check(changed, remembered=head)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_lines_are_a_chain_or_one_catalogued_error(lines):
    try:
        assert chain.check(lines).seq == len(lines) - 1
    except chain.LedgerBroken as refusal:
        assert refusal.code == "SR-LEDGER-BROKEN"


@pytest.fixture(scope="module")
def context():
    leaf = Authority.create("property", now=AT).issue_server(["localhost"], now=AT)
    return server_context(leaf.certificate_pem, leaf.key_pem)


def client_hello():
    """The first flight of a real client."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


@given(st.lists(st.binary(max_size=80), max_size=6), st.booleans(), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_a_handshake_in_one_catalogued_error(context, pieces, well_begun, data):
    peer = TlsPeer(context, server=True, max_bytes=2000)
    if well_begun:
        hello = client_hello()
        pieces = [hello[: data.draw(st.integers(0, len(hello)))], *pieces]
    try:
        for piece in pieces:
            peer.feed(piece)
            assert peer.handshake() is False
            peer.outgoing()
    except (TlsFailed, TlsFloods) as refusal:
        assert refusal.code in {"SR-TLS", "SR-TLS-FLOOD"}
