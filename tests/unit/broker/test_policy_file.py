"""policy.toml means what it says or is refused with its place."""

import pytest

from strongroom.attestation import TcbStatus, TrustDomain
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy.file import PolicyFileMalformed

HEX, SIGNER = "ab" * 32, "cd" * 32
BY_ENCLAVE = f'mrenclave = "{HEX}"'
BY_SIGNER = f'mrsigner = "{SIGNER}"\nisvprodid = 7\nmin_isvsvn = 3'


def rule(identity=BY_ENCLAVE, *, name="one", release="model/m/1", extra=""):
    return f'[[rule]]\nname = "{name}"\nrelease = "{release}"\n{identity}\n{extra}\n'


def policy(*rules):
    return "version = 1\n" + "".join(rules)


def only(text):
    [found] = policy_file.parse(text).rules
    return found


def refused(text):
    with pytest.raises(PolicyFileMalformed) as refusal:
        policy_file.parse(text)
    assert refusal.value.code == "SR-POLICY-FILE"
    return refusal.value.sentence


def test_a_rule_without_extras_weakens_nothing():
    found = only(policy(rule()))
    assert (found.name, found.release, found.require_fresh) == ("one", "model/m/1", False)
    assert found.policy.mrenclave == bytes.fromhex(HEX)
    assert found.policy.accepted_tcb_status == {TcbStatus.UP_TO_DATE}
    assert found.policy.trust_domains == {TrustDomain.INTEL}
    assert found.policy.allow_debug is False
    assert found.policy.max_collateral_age.days == 7


def test_every_word_is_understood():
    extra = """
accepted_tcb_status = ["UpToDate", "SWHardeningNeeded"]
accepted_advisory_ids = ["INTEL-SA-00615", "INTEL-DOC-00001"]
rejected_advisory_ids = ["INTEL-SA-00334"]
allow_debug = true
trust_domains = ["simulated", "intel"]
max_collateral_age_days = 30
require_fresh = true
"""
    found = only(policy(rule(BY_SIGNER, release="secret/token", extra=extra)))
    assert (found.policy.mrsigner, found.policy.isvprodid, found.policy.min_isvsvn) == (bytes.fromhex(SIGNER), 7, 3)
    assert TcbStatus.SW_HARDENING_NEEDED in found.policy.accepted_tcb_status
    assert found.policy.accepted_advisory_ids == {"INTEL-SA-00615", "INTEL-DOC-00001"}
    assert found.policy.allow_debug
    assert found.require_fresh


def test_a_measurement_may_be_joined_by_values_of_the_signature():
    found = only(policy(rule(f"{BY_ENCLAVE}\n{BY_SIGNER}\nmax_isvsvn = 3")))
    assert found.policy.mrenclave == bytes.fromhex(HEX)
    assert found.policy.mrsigner is None
    assert (found.signature.mrsigner, found.signature.isvprodid) == (bytes.fromhex(SIGNER), 7)
    assert (found.signature.min_isvsvn, found.signature.max_isvsvn) == (3, 3)


def test_a_file_without_rules_releases_nothing():
    assert policy_file.parse("version = 1\n").rules == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "version"),
        ("version = 2", "version is 2"),
        ("version = 1.0", "version is 1.0"),
        ("version = true", "version is True"),
        ("version = '1'", "version is '1'"),
        ("version = 1\nrules = 1", "unknown word 'rules'"),
        ("version = 1\nrule = 5", "[[rule]]"),
        ("version = 1\n[rule]\nname = 'x'", "[[rule]]"),
        ("version = 1\nrule = [5]", "rule 1"),
        ("version = 1\nversion = 1", "not TOML"),
        ("version = 1 [", "not TOML"),
        ("version = " + "9" * 5000, "not TOML"),
        ("x = " + "[" * 5000, "deeply"),
        ("#" * (policy_file.MAX_POLICY_BYTES + 1), "longer"),
        ("version = 1\n" + "[[rule]]\n" * 1001, "1000"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_id_04_a_file_that_is_not_a_policy_is_refused(text, said):
    assert said in refused(text)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mr_enclave = 'x'", "'mr_enclave' is an unknown word"),
        ("allow_debug = 'no'", "'allow_debug' is 'no'; it takes true or false"),
        ("allow_debug = 0", "'allow_debug'"),
        ("allow_debug = false\nallow_debug = true", "not TOML"),
        ("require_fresh = 1", "'require_fresh'"),
        ("accepted_tcb_status = 'UpToDate'", "a list of texts"),
        ("accepted_tcb_status = []", "is empty"),
        ("accepted_tcb_status = ['UpToDate', 'Fine']", "'Fine'"),
        ("accepted_tcb_status = ['UpToDate', 'UpToDate']", "twice"),
        ("accepted_tcb_status = ['UpToDate', 5]", "texts"),
        ("accepted_tcb_status = ['uptodate']", "'uptodate'"),
        ("accepted_tcb_status = ['OutOfDate']", "must contain UpToDate"),
        ("accepted_tcb_status = ['UpToDate', 'Revoked']", "Revoked cannot be accepted"),
        ("accepted_tcb_status = ['UpToDate', 'SWHardeningNeeded']", "accepted_advisory_ids"),
        ("accepted_advisory_ids = ['*']", "no advisory"),
        ("accepted_advisory_ids = ['any']", "no advisory"),
        ("accepted_advisory_ids = ['INTEL-SA-00001']\nrejected_advisory_ids = ['INTEL-SA-00001']", "both"),
        ("trust_domains = []", "is empty"),
        ("trust_domains = ['Intel']", "'Intel'"),
        ("trust_domains = ['any']", "'any'"),
        ("max_collateral_age_days = 0", "max_collateral_age"),
        ("max_collateral_age_days = -1", "'max_collateral_age_days' is -1"),
        ("max_collateral_age_days = 1e9", "whole number"),
        ("max_collateral_age_days = 36500", "0 to 366"),
        ("max_isvsvn = 65536", "0 to 65535"),
        ("min_isvsvn = 5\nmax_isvsvn = 4", "below min_isvsvn"),
        ("isvprodid = '7'", "whole number"),
    ],
)
def test_id_04_a_wrong_word_or_value_is_refused_with_its_place(line, said):
    sentence = refused(policy(rule(), rule(name="two", extra=line)))
    assert said in sentence
    assert "TOML" in sentence or "rule 2 ('two')" in sentence


@pytest.mark.parametrize(
    "identity",
    [
        "",
        f'mrsigner = "{SIGNER}"',
        f'mrsigner = "{SIGNER}"\nisvprodid = 7',
        f'mrsigner = "{SIGNER}"\nmin_isvsvn = 1',
        "isvprodid = 7\nmin_isvsvn = 3",
        'mrenclave = "any"',
        'mrenclave = "*"',
        'mrenclave = ""',
        f'mrenclave = "{HEX[:-2]}**"',
        f'mrenclave = "{HEX}00"',
        f'mrenclave = "{HEX[1:]}"',
        f'mrenclave = "{"0" * 64}"',
        f'mrenclave = ["{HEX}"]',
        "mrenclave = 5",
        f'mrsigner = "{"0" * 64}"\nisvprodid = 7\nmin_isvsvn = 3',
        f'mrsigner = "any"\n{BY_ENCLAVE}',
        f'mrsigner = "{SIGNER}"\nisvprodid = "any"\nmin_isvsvn = 3',
    ],
)
def test_id_02_an_identity_is_exact(identity):
    assert "rule 1 ('one')" in refused(policy(rule(identity)))


@pytest.mark.parametrize("name", ["", "x" * 121, "a\\nb", "a\\u0000b", 'a\\"b', "a\\\\b", "a\\u2028b"])
def test_a_name_is_printable_and_short(name):
    assert "'name'" in refused(policy(rule(name=name)))


@pytest.mark.parametrize(
    "release",
    ["", "m/1", "model/m", "model/m/0", "model/m/01", "model/../1", "model/a/b/1", "secret/", "secret/a/b", "any",
     "model/m/1\\n", "model/.hidden/1", "Model/m/1"],
)  # fmt: skip
def test_what_is_released_is_one_name(release):
    assert "'release'" in refused(policy(rule(release=release)))


@pytest.mark.parametrize("word", ["name", "release"])
def test_a_missing_word_is_refused(word):
    text = "\n".join(line for line in policy(rule()).splitlines() if not line.startswith(word))
    assert f"'{word}' is missing" in refused(text)


def test_a_name_is_taken_once():
    assert "taken by an earlier rule" in refused(policy(rule(), rule(BY_SIGNER)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BY_ENCLAVE, BY_ENCLAVE),
        (BY_ENCLAVE.upper().replace("MRENCLAVE", "mrenclave"), BY_ENCLAVE),
        (BY_SIGNER, BY_SIGNER.replace("min_isvsvn = 3", "min_isvsvn = 9")),
        (BY_ENCLAVE, f"{BY_ENCLAVE}\nisvprodid = 7"),
        (f"{BY_SIGNER}\nmax_isvsvn = 5", BY_SIGNER.replace("min_isvsvn = 3", "min_isvsvn = 5")),
    ],
)
def test_one_identity_does_not_earn_two_secrets(first, second):
    text = policy(rule(first), rule(second, name="two", release="model/m/2"))
    assert "the same identity different secrets: model/m/1 and model/m/2" in refused(text)
    assert len(policy_file.parse(text.replace("model/m/2", "model/m/1")).rules) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (BY_ENCLAVE, BY_ENCLAVE.replace("ab", "ef")),
        (BY_SIGNER, BY_SIGNER.replace("isvprodid = 7", "isvprodid = 8")),
        (f"{BY_SIGNER}\nmax_isvsvn = 4", BY_SIGNER.replace("min_isvsvn = 3", "min_isvsvn = 5")),
        (f"{BY_ENCLAVE}\nisvprodid = 7", f"{BY_ENCLAVE}\nisvprodid = 8"),
        (BY_ENCLAVE, BY_ENCLAVE + "\ntrust_domains = ['simulated']"),
    ],
)
def test_rules_that_no_enclave_fulfils_both_may_release_different_secrets(first, second):
    assert len(policy_file.parse(policy(rule(first), rule(second, name="two", release="model/m/2"))).rules) == 2


DOMAIN = f'mrtd = "{"da" * 48}"\nrtmr1 = "{"0d" * 48}"\nrtmr2 = "{"0e" * 48}"'
PLATFORM = "5a" * 16


def test_id_10_a_trust_domain_is_named_by_its_registers():
    extra = (
        f'rtmr3 = "{"00" * 48}"\nmr_config_id = "{"01" * 48}"\nallow_perfmon = true\nrequire_sept_ve_disable = false'
    )
    found = only(policy(rule(f"{DOMAIN}\n{extra}"))).policy
    assert (found.tee, found.mrtd, found.rtmr2, found.rtmr3) == ("TDX", b"\xda" * 48, b"\x0e" * 48, bytes(48))
    assert (found.mr_config_id, found.allow_perfmon, found.require_sept_ve_disable) == (b"\x01" * 48, True, False)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (f'mrtd = "{"da" * 48}"', "mrtd covers the firmware only"),
        (f'mrtd = "{"00" * 48}"\nrtmr2 = "{"0e" * 48}"', "all zero"),
        (f"{DOMAIN}\nmin_isvsvn = 1", "'min_isvsvn' is for an SGX enclave"),
        (f"{DOMAIN}\n{BY_ENCLAVE}", "drop it"),
        (f'{BY_ENCLAVE}\nrtmr0 = "{"00" * 48}"', "for TDX"),
        (f'{DOMAIN}\nrtmr0 = "any"', "96 hex digits"),
        (f'{DOMAIN}\nattributes = "0500000000000000"', "for an SGX enclave"),
    ],
)
def test_id_02_a_trust_domain_is_exact(identity, said):
    assert said in refused(policy(rule(identity)))


def test_id_09_kss_fields_are_named_one_by_one_and_the_others_are_zero():
    kss = only(policy(rule(extra="config_svn = 4"))).policy.kss
    assert (kss.config_svn, kss.config_id, kss.isv_family_id) == (4, bytes(64), bytes(16))
    assert only(policy(rule())).policy.kss is None


def test_platform_flags_are_judged_where_they_are_named_and_in_production():
    flags = ("allow_dynamic_platform", "allow_cached_keys", "allow_smt_enabled")
    before = only(policy(rule())).policy
    assert [getattr(before, flag) for flag in flags] == [True] * 3  # files of earlier releases keep their meaning
    named = only(policy(rule(extra="allow_smt_enabled = false"))).policy
    assert [getattr(named, flag) for flag in flags] == [True, True, False]
    strict = only(policy(rule()).replace("version = 1", 'version = 1\nprofile = "production"')).policy
    assert [getattr(strict, flag) for flag in flags] == [False] * 3


@pytest.mark.parametrize(
    ("profile", "extra", "said"),
    [
        ("production", "allow_debug = true", "allow_debug is impossible in the production profile"),
        ("production", 'trust_domains = ["simulated"]', "simulated"),
        ("hardened", 'trust_domains = ["intel", "simulated"]', "simulated"),
        ("production", "allow_provision_key = true", "allow_provision_key"),
        ("hardened", "", "platforms is missing"),
        ("strict", "", "profile is 'strict'; it takes development, production, hardened"),
    ],
)
def test_id_01_id_13_a_production_profile_refuses_at_load(profile, extra, said):
    text = policy(rule(extra=extra)).replace("version = 1", f'version = 1\nprofile = "{profile}"')
    assert said in refused(text)


def test_pl_01_the_hardened_profile_takes_platforms_for_the_whole_file():
    top = f'version = 1\nprofile = "hardened"\nplatforms = [{{id = "{PLATFORM}", until = 2027-01-31}}]'
    found = policy_file.parse(policy(rule()).replace("version = 1", top))
    assert found.rules[0].policy.platforms[0].id.hex() == PLATFORM
    assert found.written[0].policy.platforms is None


def test_pl_05_deny_lists_of_the_file_and_of_a_rule_add_up():
    top = f'version = 1\ndenied_platforms = ["{PLATFORM}"]\ndenied_fmspc = ["00906ed50000"]'
    text = policy(rule(extra='denied_fmspc = ["00606A000000"]')).replace("version = 1", top)
    [found] = policy_file.parse(text).rules
    assert found.policy.denied_fmspc == {"00906ED50000", "00606A000000"}
    assert found.policy.denied_platforms == {bytes.fromhex(PLATFORM)}


def test_pl_05_keys_are_denied_as_quote_verify_shows_them():
    top = f'version = 1\ndenied_pck_serials = ["00{"5C" * 19}"]\ndenied_roots = ["{"5e" * 48}"]'
    text = policy(rule(extra=f'denied_attestation_keys = ["{"5d" * 64}"]')).replace("version = 1", top)
    [found] = policy_file.parse(text).rules
    assert found.policy.denied_pck_serials == {int("5c" * 19, 16)}
    assert found.policy.denied_attestation_keys == {b"\x5d" * 64}
    assert found.policy.denied_roots == {b"\x5e" * 48}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('denied_pck_serials = ["5c:5c"]', "without colons"),
        ('denied_pck_serials = ["0x5c"]', "without colons"),
        ('denied_pck_serials = ["00"]', "positive numbers"),
        ("denied_pck_serials = [5]", "at most 5000 texts"),
        (f'denied_attestation_keys = ["{"5d" * 32}"]', "128 hex digits"),
        (f'denied_roots = ["{"5e" * 32}"]', "96 hex digits"),
        ("platforms = []", "is empty"),
        ("platforms = [5]", "exactly id and until"),
        (f'platforms = [{{id = "{PLATFORM}"}}]', "exactly id and until"),
        (f'platforms = [{{id = "{PLATFORM}", until = "2027"}}]', "has an until that"),
        (f'platforms = [{{id = "{PLATFORM}", until = 2027-01-31T00:00:00}}]', "no time zone"),
        ('platforms = [{id = "5a", until = 2027-01-31}]', "32 hex digits"),
        (f'platforms = [{{id = "{"00" * 16}", until = 2027-01-31}}]', "not all zero"),
        ('denied_fmspc = ["x"]', "no FMSPC"),
        ("denied_platforms = [5]", "texts"),
        ("accepted_sgx_types = []", "is empty"),
        ("accepted_sgx_types = [3]", "0, 1 and 2"),
        ("accepted_sgx_types = [true]", "whole numbers"),
        ("accepted_platform_provider_ids = ['*']", "no provider id"),
        ("min_tcb_level_date = '2025-01-01'", "it takes a day"),
        ("min_eval_num = 19\ncollateral_grace_period_seconds = 60", "min_eval_num excludes"),
        ("platform_grace_period_seconds = 60", "OutOfDate"),
        ("required = ['mrenclave']", "required takes"),
        ("accept_unknown = ['mrenclave']", "cannot stay unknown"),
        ("bindings = []", "is empty"),
        ("bindings = ['none']", "'none'"),
        ("xfrm = '00'", "16 hex digits"),
        ("xfrm_mask = 'ffffffffffffffff'", "without xfrm"),
        ("max_evidence_age_seconds = 0", "not positive"),
    ],
)
def test_tcb_13_the_new_words_are_as_strict_as_the_old(line, said):
    assert said in refused(policy(rule(extra=line)))


def test_id_02_one_trust_domain_does_not_earn_two_secrets():
    two = [rule(DOMAIN), rule(DOMAIN, name="two", release="model/m/2")]
    assert "different secrets" in refused(policy(*two))
    other = DOMAIN.replace("0e", "0f")
    assert len(policy_file.parse(policy(rule(DOMAIN), rule(other, name="two", release="model/m/2"))).rules) == 2


@pytest.mark.parametrize("status", list(TcbStatus))
def test_tcb_05_every_status_is_a_word_and_revoked_is_never_accepted(status):
    extra = f'accepted_tcb_status = ["UpToDate", "{status}"]\naccepted_advisory_ids = ["INTEL-SA-00615"]\n'
    if status is TcbStatus.UP_TO_DATE:
        assert "twice" in refused(policy(rule(extra=extra)))
    elif status is TcbStatus.REVOKED:
        assert "Revoked cannot be accepted" in refused(policy(rule(extra=extra)))
    else:
        assert status in only(policy(rule(extra=extra))).policy.accepted_tcb_status


# What is released, and how much ------------------------------------------------------------------------------------


def releasing(release, extra="", identity=BY_ENCLAVE, name="one"):
    return rule(identity, name=name, extra=extra).replace('"model/m/1"', release)


@pytest.mark.parametrize(("release", "shown"), [
    ('"model/m/2-5"', "model/m/2-5"), ('["model/m/2-"]', "model/m/2-"), ('"tls/front.example"', "tls/front.example"),
    ('["model/m/1", "secret/s", "password/db"]', "model/m/1, secret/s, password/db"),
])  # fmt: skip
def test_a_rule_releases_a_text_or_a_list(release, shown):
    assert only(policy(releasing(release))).release == shown


@pytest.mark.parametrize("release", [
    "[]", "5", "[5]", '["model/m/1", "model/m/1"]', '["model/m/3", "model/m/3-3"]', '["model/m/1", "*"]', '"model/m/*"',
    '"model/*/1"', '"any"', '["any"]', '"model/m/5-2"', '"model/m/-"', '"model/m/1 - 2"', '"secret/%2e%2e"',
    f'[{", ".join(chr(34) + f"secret/{number}" + chr(34) for number in range(65))}]',
])  # fmt: skip
def test_id_04_what_is_released_is_no_wildcard(release):
    assert "rule 1 ('one'): 'release'" in refused(policy(releasing(release)))


@pytest.mark.parametrize(("line", "said"), [
    ("max_leases = 0", "from 1 to 1000000"), ("max_leases = '8'", "whole number"),
    ("max_leases = true", "whole number"),
    ("max_leases = 1000001", "from 1 to"), ("lease_seconds = 9", "from 10 to 86400"),
    ("lease_seconds = 86401", "from 10 to 86400"), ("until = '2027-01-01'", "it takes a day"),
    ("until = 2027-01-01T00:00:00", "no time zone"), ("until = 00:00:00", "it takes a day"),
    ("min_model_version = 0", "from 1 to"), ("min_model_version = 9223372036854775808", "from 1 to"),
    ("max_lease = 1", "unknown word"), ("secret_format = 'hex'", "it takes raw16 or hex32z"),
    ("secret_format = 16", "it takes raw16 or hex32z"),
])  # fmt: skip
def test_id_04_a_wrong_limit_is_refused_with_its_place(line, said):
    sentence = refused(policy(releasing('"model/m/1-"', line)))
    assert said in sentence
    assert "rule 1 ('one')" in sentence


@pytest.mark.parametrize(("release", "least", "said"), [
    ('"secret/s"', 1, "is for models"), ('"model/m/2"', 3, "leaves nothing of model/m/2"),
    ('["model/n/5-", "model/m/1-2"]', 3, "leaves nothing of model/m/1-2"),
])  # fmt: skip
def test_a_least_version_that_leaves_nothing_is_refused(release, least, said):
    assert said in refused(policy(releasing(release, f"min_model_version = {least}")))


@pytest.mark.parametrize(("release", "extra"), [
    ('["model/m/2", "secret/s"]', ""), ('"model/m/2-3"', ""), ('"model/m/2"', "require_fresh = true"),
    ('"model/m/2"', 'bindings = ["transcript"]'),
])  # fmt: skip
def test_one_identity_may_earn_more_where_clients_ask_by_name(release, extra):
    text = policy(rule(), releasing(release, extra, name="two"))
    assert len(policy_file.parse(text).rules) == 2
    twice = policy(releasing(release, extra), releasing(release, extra, name="two"))
    assert len(policy_file.parse(twice).rules) == 2
