"""A verdict and the owner's rules give one secret, or reasons."""

from datetime import UTC, datetime

import pytest

from strongroom.broker.policy import file as policy_file
from strongroom.broker.release import Denial, Grant, decide


@pytest.fixture
def outcome(texts, verdict_of):
    policy_text = texts[1]

    def run(*rules, fresh=False, **identity):
        policy = policy_file.parse(policy_text(*rules) if rules else "version = 1\n")
        return decide(verdict_of(**identity), policy.rules, fresh=fresh, at=datetime.now(UTC))

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
