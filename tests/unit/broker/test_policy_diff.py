"""What a new policy file admits or refuses, in sentences: wider, narrower, both, or the same in other words."""

import pytest

from strongroom.broker.policy import diff as policy_diff
from strongroom.broker.policy import file as policy_file

HEX, SIGNER, TD = "ab" * 32, "cd" * 32, "da" * 48
BY_ENCLAVE = f'mrenclave = "{HEX}"'
BY_SIGNER = f'mrsigner = "{SIGNER}"\nisvprodid = 7\nmin_isvsvn = 3'
BY_DOMAIN = f'mrtd = "{TD}"\nrtmr1 = "{TD}"'


def rule(identity=BY_ENCLAVE, extra="", *, name="one", release="model/m/1"):
    return f'[[rule]]\nname = "{name}"\nrelease = "{release}"\n{identity}\n{extra}\n'


def policy(*rules, top=""):
    return policy_file.parse("version = 1\n" + top + "".join(rules))


def diff(old, new):
    return policy_diff.diff(old, new)


ONE_WORD = [
    (BY_ENCLAVE, "", 'accepted_tcb_status = ["UpToDate", "OutOfDate"]'),
    (BY_ENCLAVE, "", 'accepted_advisory_ids = ["INTEL-SA-00615"]'),
    (BY_ENCLAVE, "", "allow_debug = true"),
    (BY_ENCLAVE, "", "allow_provision_key = true"),
    (BY_ENCLAVE, "", 'trust_domains = ["intel", "simulated"]'),
    (BY_ENCLAVE, "", "max_collateral_age_days = 8"),
    (BY_ENCLAVE, "", "collateral_grace_period_seconds = 1"),
    (BY_ENCLAVE, "max_evidence_age_seconds = 60", "max_evidence_age_seconds = 61"),
    (BY_ENCLAVE, "min_eval_num = 19", "min_eval_num = 18"),
    (BY_ENCLAVE, "min_eval_num = 19", ""),
    (BY_ENCLAVE, "min_tcb_level_date = 2025-01-02", "min_tcb_level_date = 2025-01-01"),
    (BY_ENCLAVE, "accepted_sgx_types = [1]", "accepted_sgx_types = [1, 2]"),
    (BY_ENCLAVE, 'accepted_platform_provider_ids = ["a"]', 'accepted_platform_provider_ids = ["a", "b"]'),
    (BY_ENCLAVE, f'denied_platforms = ["{"5a" * 16}"]', ""),
    (BY_ENCLAVE, 'denied_fmspc = ["00906ED50000"]', ""),
    (BY_ENCLAVE, f'platforms = [{{id = "{"5a" * 16}", until = 2027-01-01}}]', ""),
    (BY_ENCLAVE, f'platforms = [{{id = "{"5a" * 16}", until = 2027-01-01}}]',
     f'platforms = [{{id = "{"5a" * 16}", until = 2027-01-02}}]'),
    (BY_ENCLAVE, "allow_smt_enabled = false", "allow_smt_enabled = true"),
    (BY_ENCLAVE, 'allow_smt_enabled = false\nrequired = ["allow_smt_enabled"]', "allow_smt_enabled = false"),
    (BY_ENCLAVE, "", 'accept_unknown = ["reserved"]'),
    (BY_ENCLAVE, 'xfrm = "e700000000000000"', ""),
    (BY_ENCLAVE, 'xfrm = "e700000000000000"', 'xfrm = "e700000000000000"\nxfrm_mask = "e700000000000000"'),
    (BY_ENCLAVE, f'report_data = "{"01" * 64}"', ""),
    (BY_ENCLAVE, 'bindings = ["transcript"]', 'bindings = ["transcript", "key"]'),
    (BY_ENCLAVE, "require_fresh = true", ""),
    (BY_ENCLAVE, "max_isvsvn = 5", "max_isvsvn = 6"),
    (BY_SIGNER, "max_isvsvn = 5", ""),
    (BY_ENCLAVE, f'mrsigner = "{SIGNER}"', ""),
    (BY_DOMAIN, f'rtmr3 = "{TD}"', ""),
    (BY_DOMAIN, "", "require_sept_ve_disable = false"),
    (BY_DOMAIN, "", "allow_service_td = true"),
    (BY_DOMAIN, "", "allow_migratable = true"),
    (BY_DOMAIN, f'mr_seam = "{TD}"', ""),
]  # fmt: skip


@pytest.mark.parametrize(("identity", "strict", "loose"), ONE_WORD, ids=lambda value: str(value)[:24])
def test_one_word_is_wider_in_one_direction_and_narrower_in_the_other(identity, strict, loose):
    old, new = policy(rule(identity, strict)), policy(rule(identity, loose))
    wider = diff(old, new)
    assert [finding.rule for finding in wider.wider] == ["one"]
    assert wider.narrower == ()
    assert [str(word.change) for word in wider.wider[0].words if word.change] == ["wider"]
    assert "(wider)" in "".join(map(str, wider.wider[0].words))
    narrower = diff(new, old)
    assert narrower.wider == ()
    assert [str(word.change) for word in narrower.narrower[0].words if word.change] == ["narrower"]


def test_what_admits_some_and_refuses_others_is_both():
    old = policy(rule(extra='accepted_tcb_status = ["UpToDate", "OutOfDate"]'))
    new = policy(rule(extra='accepted_tcb_status = ["UpToDate", "ConfigurationNeeded"]'))
    found = diff(old, new)
    assert [str(word.change) for word in found.wider[0].words] == ["other"]
    assert len(found.narrower) == 1
    assert found.wider[0].to_json_object()["words"][0]["change"] == "other"


def test_another_measurement_in_a_rule_of_the_same_name_is_both():
    found = diff(policy(rule()), policy(rule(BY_ENCLAVE.replace("ab", "ef"))))
    assert (len(found.wider), len(found.narrower)) == (1, 1)
    assert found.wider[0].words[0].word == "mrenclave"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (policy(rule()), policy(rule(name="renamed"))),
        (policy(rule(), rule(BY_SIGNER, name="two")), policy(rule(BY_SIGNER, name="two"), rule())),
        (policy(rule()), policy(rule(extra='trust_domains = ["intel"]\nallow_debug = false\nxfrm_mask = ""'
                                     .replace('\nxfrm_mask = ""', "")))),
        (policy(rule(extra='config_svn = 0')), policy(rule())),
        (policy(rule(extra='rejected_advisory_ids = ["INTEL-SA-00615"]')), policy(rule())),
        (policy(rule(extra=f'platforms = [{{id = "{"5a" * 16}", until = 2027-01-01}}]')),
         policy(rule(), top=f'platforms = [{{id = "{"5a" * 16}", until = 2027-01-01}}]\n')),
        (policy(rule(), rule(extra="max_collateral_age_days = 3", name="two")), policy(rule())),
        (policy(), policy()),
    ],
)  # fmt: skip
def test_other_words_for_the_same_are_no_change(old, new):
    assert diff(old, new) == policy_diff.PolicyDiff((), ())


def test_a_new_rule_and_a_rule_that_is_gone_are_told():
    two = rule(BY_SIGNER, name="two", release="secret/x")
    added, removed = diff(policy(rule()), policy(rule(), two)), diff(policy(rule(), two), policy(rule()))
    assert added.wider[0].sentence.startswith("rule 'two' is new: it releases secret/x to mrsigner cdcd")
    assert added.narrower == ()
    assert removed.narrower[0].sentence.startswith("rule 'two' is gone: it released secret/x")


def test_a_rule_that_is_gone_may_have_stood_between_a_program_and_another_secret():
    """A build by this signer with that measurement fulfilled both rules, and got neither secret."""
    both = policy(rule(), rule(BY_SIGNER, name="two", release="model/m/2"))
    found = diff(both, policy(rule()))
    assert "a program that fulfilled both and cannot ask by name got nothing, or model/m/2" in found.wider[0].sentence
    disjoint = policy(rule(extra=f'mrsigner = "{"ee" * 32}"'), rule(BY_SIGNER, name="two", release="model/m/2"))
    assert diff(disjoint, policy(rule(extra=f'mrsigner = "{"ee" * 32}"'))).wider == ()


def test_tcb_10_the_platform_grace_limits_outdated_platforms():
    status = 'accepted_tcb_status = ["UpToDate", "OutOfDate"]\n'
    ever = policy(rule(extra=status))
    days = policy(rule(extra=status + "platform_grace_period_seconds = 86400"))
    never = policy(rule())
    assert diff(days, ever).wider
    assert not diff(ever, days).wider
    assert not diff(days, never).wider
    assert diff(never, days).wider


def test_a_deny_list_of_the_whole_file_counts_for_every_rule():
    denied = policy(rule(), rule(BY_DOMAIN, name="two"), top='denied_fmspc = ["00906ed50000"]\n')
    open_to_all = policy(rule(), rule(BY_DOMAIN, name="two"))
    assert [finding.rule for finding in diff(denied, open_to_all).wider] == ["one", "two"]
    assert diff(open_to_all, denied).wider == ()


def test_a_thousand_rules_are_compared_in_time():
    rules = [rule(f'mrenclave = "{number:064x}"', name=f"rule {number}") for number in range(1, 1000)]
    old, new = policy(*rules), policy(*rules[:-1])
    assert diff(old, new).wider == ()
    assert len(diff(old, new).narrower) == 1
