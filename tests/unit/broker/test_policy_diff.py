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
    (BY_ENCLAVE, "max_leases = 2", "max_leases = 3"),
    (BY_ENCLAVE, "max_leases = 2", ""),
    (BY_ENCLAVE, "lease_seconds = 60", "lease_seconds = 61"),
    (BY_ENCLAVE, "lease_seconds = 599", ""),
    (BY_ENCLAVE, "until = 2027-01-01", "until = 2027-01-02"),
    (BY_ENCLAVE, "until = 2027-01-01", ""),
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
    each_its_own = [text.replace("model/m/1", f"model/m/{number}") for number, text in enumerate(rules, 1)]
    old = policy(*each_its_own[:-2], rule(BY_DOMAIN, name="td"), rule(BY_SIGNER, name="signer", release="secret/s"))
    assert diff(old, old) == policy_diff.PolicyDiff((), ())


RELEASES = [  # the narrower first
    ('"model/m/2"', '"model/m/2-3"'),
    ('"model/m/2-3"', '"model/m/1-3"'),
    ('"model/m/2-3"', '"model/m/2-"'),
    ('["model/m/1", "secret/s"]', '["model/m/1", "secret/s", "secret/t"]'),
    ('["model/m/1-3", "model/m/5"]', '["model/m/1-2", "model/m/3-4", "model/m/5-6"]'),
]


def releasing(text, extra="", identity=BY_ENCLAVE):
    return policy(rule(identity, extra).replace('"model/m/1"', text))


@pytest.mark.parametrize(("narrow", "wide"), RELEASES)
def test_sa_08_more_secrets_are_wider(narrow, wide):
    found = diff(releasing(narrow), releasing(wide))
    assert [word.word for word in found.wider[0].words if word.change == "wider"] == ["release"]
    assert "release" not in [word.word for finding in found.narrower for word in finding.words]


@pytest.mark.parametrize(("narrow", "wide"), RELEASES[1:])
def test_fewer_secrets_are_narrower(narrow, wide):
    found = diff(releasing(wide), releasing(narrow))
    assert found.wider == ()
    assert [word.word for word in found.narrower[0].words] == ["release"]


def test_the_same_secrets_in_other_patterns_are_no_change():
    old = releasing('["model/m/1-2", "model/m/3-4", "secret/s"]')
    new = releasing('["secret/s", "model/m/1-4"]')
    assert diff(old, new) == policy_diff.PolicyDiff((), ())


def test_another_form_of_the_key_is_neither_wider_nor_narrower():
    old, new = releasing('"model/m/1"'), releasing('"model/m/1"', 'secret_format = "hex32z"')
    assert diff(old, new).wider == diff(new, old).wider == ()


@pytest.mark.parametrize("strict", ["min_model_version = 3", "min_model_version = 2"])
def test_sa_08_a_lower_least_version_is_wider(strict):
    loose = strict.replace("3", "2").replace("2", "1")
    old, new = releasing('"model/m/1-"', strict), releasing('"model/m/1-"', loose)
    assert [word.word for word in diff(old, new).wider[0].words if word.change == "wider"] == ["min_model_version"]
    assert diff(new, old).wider == ()


def test_a_least_version_below_what_is_released_says_nothing():
    old, new = releasing('"model/m/3-"', "min_model_version = 3"), releasing('"model/m/3-"')
    assert diff(old, new) == diff(new, old) == policy_diff.PolicyDiff((), ())


def test_a_rule_for_one_secret_that_gets_several_is_lost_to_gramines_clients():
    found = diff(releasing('"model/m/1"'), releasing('["model/m/1", "secret/s"]'))
    assert "for clients that ask by name (KBS) now" in found.narrower[0].sentence


def test_sa_08_a_rule_for_several_secrets_that_keeps_one_is_new_to_gramines_clients():
    found = diff(releasing('["model/m/1", "secret/s"]'), releasing('"model/m/1"'))
    assert "a program that fulfilled both and cannot ask by name got nothing" in found.wider[0].sentence


def test_sa_08_a_rule_that_kept_leases_short_is_missed():
    """Of two rules that hold, the one with more leases says how long they are."""
    short = rule(extra="lease_seconds = 60")
    long = rule(BY_SIGNER, "max_leases = 5\nlease_seconds = 3600", name="long")
    found = diff(policy(short, long), policy(long))
    assert "now lends for 3600 s" in found.wider[0].sentence
    assert diff(policy(short, long), policy(short)).wider == ()
