"""Rules as text: written back faithfully, said in sentences, and taken over from ra_config.json."""

import json

import pytest

from strongroom.attestation import PolicyUnusable, TrustDomain
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.release import SignatureCheck
from strongroom.gramine import ra_config

ENCLAVE, SIGNER = b"\xab" * 32, b"\xcd" * 32
PRODUCT_0 = SignatureCheck(isvprodid=0)


def read_back(text):
    return policy_file.parse("version = 1\n" + text).rules


def config(**switches):
    on = {f"verify_{field}": "on" for field in ra_config.FIELDS} | switches
    entry = {"mr_enclave": ENCLAVE.hex(), "mr_signer": SIGNER.hex(), "isv_prod_id": "7", "isv_svn": "3"}
    return ra_config.parse(json.dumps({**on, "mrs": [entry, {**entry, "isv_svn": 4}]}).encode())


@pytest.mark.parametrize(
    "rule",
    [
        policy_text.strict_rule("by measurement", release="model/m/1", mrenclave=ENCLAVE),
        policy_text.strict_rule("zwölf ✓", release="secret/x", mrenclave=ENCLAVE, signature=PRODUCT_0),
        policy_text.strict_rule(
            "by signer", release="model/m/2", mrenclave=None,
            signature=SignatureCheck(mrsigner=SIGNER, isvprodid=0, min_isvsvn=0, max_isvsvn=9),
            trust_domains=[TrustDomain.SIMULATED, TrustDomain.INTEL], max_collateral_age_days=30,
        ),
    ],
    ids=lambda rule: rule.name,
)  # fmt: skip
def test_a_rule_is_read_back_as_it_was_written(rule):
    assert read_back(policy_text.render(rule, comments=["why it is there"])) == (rule,)


def test_a_signer_alone_makes_no_rule():
    with pytest.raises(PolicyUnusable):
        policy_text.strict_rule("x", release="model/m/1", mrenclave=None, signature=SignatureCheck(mrsigner=SIGNER))


def test_an_import_enforces_what_the_file_has_switched_on():
    first, second = policy_text.rules_of(config(), release="model/m/1")
    assert (first.name, second.name) == ("import-1", "import-2")
    assert first.policy.mrenclave == ENCLAVE
    assert first.signature == SignatureCheck(mrsigner=SIGNER, isvprodid=7, min_isvsvn=3)
    assert second.signature.min_isvsvn == 4
    assert not first.policy.allow_debug
    assert first.policy.trust_domains == {TrustDomain.INTEL}


def test_an_import_by_signer_has_a_minimum_svn():
    first, _ = policy_text.rules_of(config(verify_mr_enclave="off"), release="model/m/1")
    assert (first.policy.mrsigner, first.policy.isvprodid, first.policy.min_isvsvn) == (SIGNER, 7, 3)
    assert first.signature == SignatureCheck()


@pytest.mark.parametrize("switches", [{}, {"verify_mr_enclave": "off"}])
def test_an_import_keeps_equality_of_the_svn_when_told(switches):
    rules = policy_text.rules_of(config(**switches), release="model/m/1", svn_exact=True)
    assert [rule.signature.max_isvsvn for rule in rules] == [3, 4]
    assert read_back("".join(map(policy_text.render, rules))) == tuple(rules)


def test_an_import_says_where_it_differs():
    notices = policy_text.notices_of(config(verify_mr_signer="off"))
    assert any("minimum" in notice for notice in notices)
    assert any("debug enclaves" in notice for notice in notices)
    assert any(f"import-2: mr_signer = '{SIGNER.hex()}' is present but not enforced" in each for each in notices)
    assert not any("minimum" in notice for notice in policy_text.notices_of(config(), svn_exact=True))
    assert any("allow_smt_enabled" in notice for notice in notices)  # what the original never looked at


def test_a_strict_rule_is_described_without_a_caution():
    sentence, *more = policy_text.describe(policy_text.strict_rule("x", release="model/m/1", mrenclave=ENCLAVE))
    assert not any(each.startswith("careful") for each in more)
    assert "releases model/m/1 to code with mrenclave abab" in sentence
    assert sentence.endswith("on the trust domain intel")


def test_each_weakening_is_said():
    extra = """
accepted_tcb_status = ["UpToDate", "OutOfDate"]
accepted_advisory_ids = ["INTEL-SA-00615"]
trust_domains = ["simulated"]
allow_debug = true
max_collateral_age_days = 30
require_fresh = true
"""
    text = f'[[rule]]\nname = "x"\nrelease = "model/m/1"\nmrenclave = "{ENCLAVE.hex()}"{extra}'
    said = "\n".join(policy_text.describe(read_back(text)[0]))
    for words in ("simulated platform", "debug enclaves", "OutOfDate", "INTEL-SA-00615", "30 days", "nonce"):
        assert words in said
    assert said.count("careful:") == 5


FLAGS = ("allow_dynamic_platform", "allow_cached_keys", "allow_smt_enabled")


@pytest.mark.parametrize("count", range(4))
def test_a_rule_says_which_usual_platforms_it_refuses_and_how_to_admit_them(count):
    rule = policy_text.strict_rule("x", release="model/m/1", mrenclave=ENCLAVE, allow=FLAGS[:count])
    assert [getattr(rule.policy, flag) for flag in FLAGS] == [True] * count + [False] * (3 - count)
    text = "\n".join(policy_text.describe(rule))
    for number, flag in enumerate(FLAGS):
        assert (f"{flag} = true" in text) == (number >= count)
    assert ("refuses platforms" in text) == (count < 3)
    assert ("hyper-threading" in text) == (count < 3)


TD = {"mrtd": b"\xda" * 48, "rtmr1": b"\x01" * 48}


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        (TD, "careful: rtmr2 is not compared: any command line"),
        (TD | {"rtmr2": b"\x02" * 48}, None),
        ({"mrtd": b"\xda" * 48, "mr_config_id": b"\x01" * 48}, "careful: rtmr1 is not compared: any kernel"),
    ],
)
def test_id_10_what_a_rule_leaves_open_in_a_trust_domain_is_said(domain, said):
    rule = policy_text.strict_rule("x", release="model/m/1", mrenclave=None, domain=domain)
    found = [sentence for sentence in policy_text.describe(rule) if sentence.startswith("careful")]
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(said)


def test_a_product_that_every_unnumbered_enclave_has_is_told():
    def said(number):
        signature = SignatureCheck(mrsigner=b"\xcd" * 32, isvprodid=number, min_isvsvn=1)
        rule = policy_text.strict_rule("x", release="model/m/1", mrenclave=None, signature=signature)
        return [sentence for sentence in policy_text.describe(rule) if sentence.startswith("careful: product 0")]

    assert len(said(0)) == 1
    assert said(1) == []


@pytest.mark.parametrize("domain", list(TrustDomain))
def test_a_rule_for_tokens_says_that_they_leave_much_unknown(domain):
    rule = policy_text.strict_rule("x", release="model/m/1", mrenclave=ENCLAVE, trust_domains=[domain])
    rests_on_tokens = domain not in {TrustDomain.INTEL, TrustDomain.SIMULATED}
    assert any("accept_unknown" in sentence for sentence in policy_text.describe(rule)) == rests_on_tokens
