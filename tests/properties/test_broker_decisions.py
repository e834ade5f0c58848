"""The broker's parsers under any text, its files written and read back, and its decisions under any rules."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from strongroom.attestation import Anchor, TcbStatus, TrustDomain, verify
from strongroom.broker.ledger import chain
from strongroom.broker.names import Pattern, SecretName, check_tenant, parse_kbs
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import measurement_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.votes import Vote
from strongroom.broker.release import Denial, Grant, Limits, SignatureCheck, decide
from strongroom.broker.tls import TlsFailed, TlsFloods, TlsPeer, server_context
from strongroom.errors import StrongroomError
from strongroom.pki.authority import Authority
from strongroom.platforms.simulated import EnclaveIdentity, World

AT = datetime(2026, 3, 4, tzinfo=UTC)
ENCLAVES, SIGNERS, SECRETS = [b"\xe1" * 32, b"\xe2" * 32], [b"\x51" * 32, b"\x52" * 32], ["model/a/1", "model/b/1"]
SMALL = st.integers(0, 1)
RELEASES = st.sampled_from(SECRETS) | st.sampled_from(["model/a/1-", "model/a/2-3", ["model/a/1", "secret/s"]])
LIMITS = st.builds(
    Limits, max_leases=st.none() | st.integers(1, 9), lease_seconds=st.integers(10, 86_400),
    until=st.none() | st.sampled_from([AT, AT + timedelta(seconds=1)]),
)  # fmt: skip
WANTED = ["model/a/1", "model/a/2", "model/b/1", "secret/s", "secret/unknown"]
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
        draw(NAMES), release=draw(RELEASES), signature=signature, limits=draw(LIMITS),
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
            rule.limits.until is None or rule.limits.until > AT,
            policy.max_collateral_age >= timedelta(days=1),
            policy.mrenclave in (None, identity.mr_enclave),
            policy.mrsigner in (None, identity.mr_signer) and extra.mrsigner in (None, identity.mr_signer),
            policy.isvprodid in (None, identity.isv_prod_id) and extra.isvprodid in (None, identity.isv_prod_id),
            identity.isv_svn >= (policy.min_isvsvn or 0) and identity.isv_svn >= (extra.min_isvsvn or 0),
            extra.max_isvsvn is None or identity.isv_svn <= extra.max_isvsvn,
        )
    )


def check_denied(outcome):
    assert isinstance(outcome, Denial)
    assert all(reason.code and reason.observed and reason.expected and reason.fix for reason in outcome.reasons)
    assert outcome.reasons
    assert outcome.shown == "NOT_RELEASED"


@given(st.lists(rules(), max_size=5), IDENTITIES, st.booleans())
@settings(max_examples=3 * settings.default.max_examples)
def test_who_cannot_ask_by_name_gets_what_all_fulfilled_rules_come_to(judge, listed, identity, fresh):
    fulfilled = {rule.single for rule in listed if expected(rule, identity, fresh=fresh)}
    outcome = decide(judge(identity), listed, fresh=fresh, at=AT)
    if len(fulfilled) == 1 and None not in fulfilled:
        assert isinstance(outcome, Grant)
        assert outcome.secret_name == str(*fulfilled)
    else:
        check_denied(outcome)


@given(st.lists(rules(), max_size=5), IDENTITIES, st.booleans(), st.sampled_from(WANTED).map(SecretName.parse))
@settings(max_examples=3 * settings.default.max_examples)
def test_kd_11_who_asks_by_name_gets_what_one_fulfilled_rule_names(judge, listed, identity, fresh, wanted):
    fulfilled = [rule for rule in listed if expected(rule, identity, fresh=fresh) and rule.names(wanted)]
    outcome = decide(judge(identity), listed, fresh=fresh, at=AT, wanted=wanted)
    if fulfilled:
        assert isinstance(outcome, Grant)
        assert outcome.secret_name == str(wanted)
        assert outcome.rule in fulfilled
        assert all((rule.limits.max_leases or inf) <= (outcome.rule.limits.max_leases or inf) for rule in fulfilled)
    else:
        check_denied(outcome)


@given(st.lists(rules(), max_size=4), rules(), IDENTITIES, st.sampled_from(WANTED).map(SecretName.parse))
def test_a_further_rule_takes_nothing_from_who_asks_by_name(judge, listed, more, identity, wanted):
    before = decide(judge(identity), listed, fresh=True, at=AT, wanted=wanted)
    after = decide(judge(identity), [*listed, more], fresh=True, at=AT, wanted=wanted)
    if isinstance(before, Grant):
        assert isinstance(after, Grant)
        assert after.secret_name == before.secret_name


PIECES = [
    "default",
    "model",
    "secret",
    "m",
    "m.1",
    "1",
    ".",
    "..",
    "/",
    "//",
    "%2e",
    "%2F",
    "\\",
    "\0",
    "é",
    "M",
    "-",
    "01",
]


@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_kd_18_one_secret_has_one_spelling(text):
    """Whatever is taken as a path, a name, a pattern or a tenant is written back as it was read."""
    for read, write in ((parse_kbs, lambda found: found[1].to_kbs(found[0]).removeprefix("kbs:///")),
                        (SecretName.parse, str), (Pattern.parse, str), (check_tenant, str)):  # fmt: skip
        try:
            found = read(text)
        except StrongroomError as refusal:
            assert refusal.code == "SR-SECRET-NAME"
        else:
            same = text.removeprefix("kbs:///")
            assert write(found) == same or (read is Pattern.parse and Pattern.parse(write(found)) == found)


VOTE = {"format": "strongroom-policy-vote-1", "tenant": "a", "version": 2, "policy": "ab" * 32, "replaces": "cd" * 32,
        "expires": 9,
        "signer": "ef" * 32, "signature": "A" * 86 + "=="}  # fmt: skip


CHANGES = st.dictionaries(st.sampled_from(sorted(VOTE)), st.integers() | st.text(max_size=9) | st.none())


@given(st.binary(max_size=200) | CHANGES.map(lambda changes: json.dumps(VOTE | changes).encode()))
def test_any_bytes_are_a_vote_or_one_catalogued_error(data):
    try:
        assert Vote.from_json(Vote.from_json(data).to_json()).to_json() == Vote.from_json(data).to_json()
    except StrongroomError as refusal:
        assert refusal.code == "SR-VOTE"


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
