"""A verdict and the owner's rules give one secret, or reasons."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from strongroom.broker.names import SecretName
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.overlap import for_gramine
from strongroom.broker.release import DEFAULT_LEASE_SECONDS, Denial, Grant, decide


@pytest.fixture
def outcome(texts, verdict_of):
    policy_text = texts[1]

    def run(*rules, fresh=False, wanted=None, at=None, **identity):
        policy = policy_file.parse(policy_text(*rules) if rules else "version = 1\n")
        name = None if wanted is None else SecretName.parse(wanted)
        return decide(verdict_of(**identity), policy.rules, fresh=fresh, at=at or datetime.now(UTC), wanted=name)

    return run


@pytest.fixture
def rule(texts):
    return texts[0]


BY_SIGNER = f'mrsigner = "{"51" * 32}"\nisvprodid = 7\nmin_isvsvn = 3'


def codes(denial):
    assert isinstance(denial, Denial)
    return [reason.code for reason in denial.reasons]


def test_the_right_build_earns_its_one_secret(outcome, rule):
    granted = outcome(rule())
    assert isinstance(granted, Grant)
    assert granted.secret_name == "model/efficientnet-lite0/1"
    assert granted.rule.name == "replica"


def test_kd_11_without_rules_nothing_is_released(outcome):
    assert codes(outcome()) == ["NO_RULES"]


def test_kd_12_each_build_earns_its_own_secret_only(outcome, rule):
    other = rule(name="other", release="model/other/1", identity=f'mrenclave = "{"0f" * 32}"')
    assert outcome(rule(), other).secret_name == "model/efficientnet-lite0/1"
    assert outcome(rule(), other, mr_enclave=b"\x0f" * 32).secret_name == "model/other/1"


def test_id_02_another_measurement_is_refused_with_seen_wanted_and_fix(outcome, rule):
    denial = outcome(rule(), mr_enclave=b"\xee" * 32)
    assert codes(denial) == ["POLICY_MRENCLAVE"]
    [reason] = denial.reasons
    assert (reason.rule, reason.word) == ("replica", "mrenclave")
    assert (reason.observed, reason.expected) == ("ee" * 32, "e1" * 32)
    assert reason.fix
    assert str(reason).startswith("[POLICY_MRENCLAVE] rule 'replica', mrenclave: eeee")


@pytest.mark.parametrize(("svn", "granted"), [(2, False), (3, True), (4, True)])
def test_id_03_the_svn_is_a_minimum(outcome, rule, svn, granted):
    assert isinstance(outcome(rule(identity=BY_SIGNER), isv_svn=svn), Grant) is granted


@pytest.mark.parametrize("product", [6, 8])
def test_id_03_the_product_is_exact(outcome, rule, product):
    assert codes(outcome(rule(identity=BY_SIGNER), isv_prod_id=product)) == ["POLICY_ISVPRODID"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mr_signer": b"\x52" * 32}, "POLICY_MRSIGNER"),
        ({"isv_prod_id": 8}, "POLICY_ISVPRODID"),
        ({"isv_svn": 2}, "POLICY_ISVSVN"),
        ({"isv_svn": 4}, "POLICY_ISVSVN"),
    ],
)
def test_values_of_the_signature_hold_besides_a_measurement(outcome, rule, changes, code):
    text = rule(extra=f"{BY_SIGNER}\nmax_isvsvn = 3")
    assert isinstance(outcome(text), Grant)
    assert codes(outcome(text, **changes)) == [code]


def test_an_exact_svn_holds_for_a_signer_too(outcome, rule):
    text = rule(identity=BY_SIGNER, extra="max_isvsvn = 3")
    assert isinstance(outcome(text), Grant)
    assert codes(outcome(text, isv_svn=4)) == ["POLICY_ISVSVN"]


def test_id_01_a_debug_enclave_needs_a_rule_that_says_so(outcome, rule):
    assert codes(outcome(rule(), debug=True)) == ["POLICY_DEBUG"]
    assert isinstance(outcome(rule(extra="allow_debug = true"), debug=True), Grant)


def test_simulated_evidence_needs_a_rule_that_says_so(outcome, rule):
    assert codes(outcome(rule(trust_domains='["intel"]'))) == ["SIMULATED_EVIDENCE"]


def test_a_rule_may_want_fresh_evidence(outcome, rule):
    text = rule(extra="require_fresh = true")
    assert codes(outcome(text)) == ["EVIDENCE_NOT_FRESH"]
    assert isinstance(outcome(text, fresh=True), Grant)


def test_two_rules_that_fit_and_differ_release_nothing(outcome, rule):
    denial = outcome(rule(), rule(name="by signer", identity=BY_SIGNER, release="model/other/1"))
    assert codes(denial) == ["RULES_AMBIGUOUS"]
    assert "model/other/1" in denial.reasons[0].observed


def test_two_rules_that_fit_and_agree_release_it(outcome, rule):
    assert isinstance(outcome(rule(), rule(name="by signer", identity=BY_SIGNER)), Grant)


def test_a_denial_explains_the_rules_that_came_nearest(outcome, rule):
    far = rule(name="far", identity=f'mrenclave = "{"0f" * 32}"', trust_domains='["intel"]')
    denial = outcome(far, rule(), debug=True)
    assert [(reason.rule, reason.code) for reason in denial.reasons] == [("replica", "POLICY_DEBUG")]


def test_a_denial_does_not_explain_a_thousand_rules(outcome, rule):
    many = [rule(name=f"r{n}", release=f"model/m/{n}", identity=f'mrenclave = "{n:064x}"') for n in range(1, 50)]
    assert len(outcome(*many).reasons) == 3


def test_a_case_has_no_reason_that_cannot_be_read_later(outcome, rule):
    [reason] = outcome(rule(), mr_enclave=b"\xee" * 32).reasons
    assert set(reason.to_json_object()) == {"code", "rule", "word", "observed", "expected", "fix"}


# Asking by name --------------------------------------------------------------------------------------------------

SEVERAL = '["model/m/2-5", "secret/s", "tls/front"]'
OTHER = f'mrenclave = "{"0f" * 32}"'


@pytest.fixture
def several():
    """A rule that releases several secrets."""

    def write(release=SEVERAL, *, name="several", identity=f'mrenclave = "{"e1" * 32}"', extra=""):
        return (
            f'[[rule]]\nname = "{name}"\n{identity}\ntrust_domains = ["simulated"]\nrelease = {release}\n{extra}\n'
        )  # fmt: skip

    return write


@pytest.mark.parametrize("wanted", ["model/m/2", "model/m/5", "secret/s", "tls/front"])
def test_a_client_asks_for_one_of_several_secrets_by_name(outcome, several, wanted):
    assert outcome(several(), wanted=wanted).secret_name == wanted


@pytest.mark.parametrize("wanted", ["model/m/1", "model/m/6", "model/n/2", "secret/t", "tls/s", "password/front"])
def test_kd_12_one_grant_opens_nothing_else(outcome, several, wanted):
    assert codes(outcome(several(), wanted=wanted)) == ["SECRET_NOT_NAMED"]


def test_kd_12_a_build_that_may_have_a_does_not_get_b(outcome, rule, several):
    other = several('["model/b/1", "model/a/2"]', name="other", identity=OTHER)
    assert outcome(rule(release="model/a/1"), other, wanted="model/a/1").secret_name == "model/a/1"
    for wanted in ("model/b/1", "model/a/2"):
        denial = outcome(rule(release="model/a/1"), other, wanted=wanted)
        assert codes(denial) == ["POLICY_MRENCLAVE"]
        assert denial.reasons[0].rule == "other"


def test_kd_11_an_unknown_secret_looks_like_a_forbidden_one(outcome, rule, several):
    """The owner reads two different reasons; what a peer may see is one code."""
    listed = (rule(), several(name="other", identity=OTHER))
    unknown, forbidden = outcome(*listed, wanted="secret/nowhere"), outcome(*listed, wanted="secret/s")
    assert codes(unknown) != codes(forbidden)
    assert unknown.shown == forbidden.shown == outcome().shown == "NOT_RELEASED"


def test_who_cannot_ask_by_name_gets_nothing_of_several(outcome, several, rule):
    assert codes(outcome(several())) == ["RULES_AMBIGUOUS"]
    assert codes(outcome(rule(), several())) == ["RULES_AMBIGUOUS"]
    assert outcome(rule(), several(), wanted="model/efficientnet-lite0/1").rule.name == "replica"


def test_a_version_range_without_end_takes_every_later_version(outcome, several):
    text = several('"model/m/3-"')
    assert outcome(text, wanted="model/m/9223372036854775807").secret_name == "model/m/9223372036854775807"
    assert codes(outcome(text, wanted="model/m/2")) == ["SECRET_NOT_NAMED"]


def test_of_several_rules_that_fit_the_one_with_the_most_leases_counts(outcome, several):
    few = several('"secret/s"', name="few", extra="max_leases = 2\nlease_seconds = 3600")
    more = several('["secret/s", "secret/t"]', name="more", extra="max_leases = 3")
    for listed in ((few, more), (more, few)):
        assert outcome(*listed, wanted="secret/s").rule.name == "more"
    assert outcome(few, several(name="unlimited"), wanted="secret/s").rule.limits.max_leases is None


# Limits ----------------------------------------------------------------------------------------------------------


def test_a_rule_without_limits_lends_for_ten_minutes(outcome, rule):
    limits = outcome(rule()).rule.limits
    assert (limits.max_leases, limits.lease_seconds, limits.until) == (None, DEFAULT_LEASE_SECONDS, None)
    limits = outcome(rule(extra="max_leases = 4\nlease_seconds = 60")).rule.limits
    assert (limits.max_leases, limits.lease_seconds) == (4, 60)


@pytest.mark.parametrize(("seconds", "granted"), [(-1, True), (0, False), (1, False)])
def test_kd_13_a_rule_ends_at_its_until(outcome, rule, seconds, granted):
    now = datetime.now(UTC).replace(microsecond=0)
    text = rule(extra=f"until = {now:%Y-%m-%dT%H:%M:%SZ}")
    found = outcome(text, at=now + timedelta(seconds=seconds))
    assert isinstance(found, Grant) is granted
    if not granted:
        assert codes(found) == ["RULE_EXPIRED"]
        assert found.reasons[0].expected == f"before {now:%Y-%m-%dT%H:%M:%SZ}"


def test_kd_09_a_model_below_the_least_version_is_not_brought_back(outcome, several):
    text = several('"model/m/1-"', extra="min_model_version = 3")
    assert codes(outcome(text, wanted="model/m/2")) == ["MODEL_TOO_OLD"]
    assert outcome(text, wanted="model/m/3").secret_name == "model/m/3"
    both = several('["model/m/1-", "secret/s"]', extra="min_model_version = 3")
    assert outcome(both, wanted="secret/s").secret_name == "secret/s"


def test_kd_11_every_term_has_to_hold(outcome, several):
    """The truth table of what is decided here; quorum, revocations and counts are those of the admission."""
    now = datetime.now(UTC).replace(microsecond=0)
    for named, evidence, fresh, dated, recent in product([True, False], repeat=5):
        text = several(
            '["model/m/1-5"]', identity=f'mrenclave = "{("e1" if evidence else "0f") * 32}"',
            extra="require_fresh = true\nmin_model_version = 2\n"
            f"until = {now + timedelta(hours=1 if dated else -1):%Y-%m-%dT%H:%M:%SZ}",
        )  # fmt: skip
        wanted = f"model/{'m' if named else 'n'}/{2 if recent else 1}"
        found = outcome(text, wanted=wanted, fresh=fresh)
        assert isinstance(found, Grant) is all((named, evidence, fresh, dated, recent))
        missed = {"POLICY_MRENCLAVE": evidence, "EVIDENCE_NOT_FRESH": fresh, "RULE_EXPIRED": dated,
                  "MODEL_TOO_OLD": recent}  # fmt: skip
        if isinstance(found, Denial):
            expected = {code for code, holds in missed.items() if not holds} if named else {"SECRET_NOT_NAMED"}
            assert set(codes(found)) == expected


# Who can use a rule -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("release", "extra", "usable"), [
    ('"model/m/1"', "", True), ('["model/m/1"]', "", True), ('"secret/s"', "max_leases = 1", True),
    (SEVERAL, "", False), ('"model/m/1-2"', "", False), ('"model/m/1-"', "", False),
    ('"model/m/1"', "require_fresh = true", False), ('"model/m/1"', 'bindings = ["transcript"]', False),
    ('"model/m/1"', 'bindings = ["transcript", "key"]', True),
])  # fmt: skip
def test_gramines_clients_can_use_a_rule_of_one_secret_that_wants_no_nonce(several, texts, release, extra, usable):
    [found] = policy_file.parse(texts[1](several(release, extra=extra))).rules
    assert for_gramine(found) is usable
