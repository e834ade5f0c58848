"""Random policies and random claims: a change that admits more is never called anything else."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.attestation import (
    BindingKind,
    Claims,
    EnrolledPlatform,
    EvidenceSource,
    KssFields,
    Policy,
    PolicyUnusable,
    TcbStatus,
    Tee,
    TrustDomain,
    appraise,
)
from strongroom.attestation.policy.compare import FIELDS, fields_of, not_covered
from strongroom.broker.names import Pattern, SecretKind, SecretName
from strongroom.broker.policy import diff as policy_diff
from strongroom.broker.policy import file as policy_file
from strongroom.broker.policy import text as policy_text
from strongroom.broker.policy.file import ReleasePolicy
from strongroom.broker.release import NO_LIMITS, Grant, Limits, ReleaseRule, SignatureCheck, decide

AT = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ONE, TWO = b"\x01", b"\x02"
STATUSES = [TcbStatus.UP_TO_DATE, TcbStatus.OUT_OF_DATE, TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
            TcbStatus.CONFIGURATION_NEEDED, TcbStatus.REVOKED]  # fmt: skip
ADVISORIES = ["INTEL-SA-00001", "INTEL-SA-00002"]
DOMAINS = [TrustDomain.INTEL, TrustDomain.SIMULATED]
FLAGS = ("allow_dynamic_platform", "allow_cached_keys", "allow_smt_enabled")
TD_SWITCHES = ("allow_service_td", "allow_pks", "allow_kl", "allow_perfmon", "allow_migratable")
UNKNOWABLE = ["attributes", "allow_provision_key", "reserved", "config_id", "accepted_tcb_status", "mr_owner",
              "accepted_advisory_ids", "max_collateral_age_days", "allow_pks", "require_sept_ve_disable"]  # fmt: skip


def sets(values, **options):
    return st.frozensets(st.sampled_from(values), **options)


def maybe(strategy):
    return st.none() | strategy


def spans(*days):
    return st.sampled_from([timedelta(days=each) for each in days])


IDS = [bytes([each]) * 16 for each in (1, 2, 3)]
ENTRIES = st.lists(
    st.builds(EnrolledPlatform, id=st.sampled_from(IDS), until=st.sampled_from([AT, AT + DAY])),
    min_size=1, max_size=3, unique_by=lambda entry: entry.id,
).map(tuple)  # fmt: skip
KSS = st.builds(
    KssFields, config_id=st.just(bytes(64)), config_svn=st.integers(0, 1), isv_ext_prod_id=st.just(bytes(16)),
    isv_family_id=st.just(bytes(16)),
)  # fmt: skip
COMMON = {
    "accepted_tcb_status": sets(STATUSES[:4]).map(lambda found: found | {TcbStatus.UP_TO_DATE}),
    "accepted_advisory_ids": sets(ADVISORIES), "rejected_advisory_ids": sets(ADVISORIES), "allow_debug": st.booleans(),
    "trust_domains": sets(DOMAINS, min_size=1), "max_collateral_age": spans(1, 3),
    "max_evidence_age": maybe(st.sampled_from([60, 120, 200]).map(lambda count: timedelta(seconds=count))),
    "collateral_grace": spans(0, 0, 1, 2), "platform_grace": maybe(spans(1, 3)),
    "min_eval_num": maybe(st.integers(1, 2)),
    "min_tcb_level_date": maybe(st.sampled_from([AT - 4 * DAY, AT - 2 * DAY])), "platforms": maybe(ENTRIES),
    "denied_platforms": sets(IDS), "denied_fmspc": sets(["00906ED50000"]),
    "denied_pck_serials": sets([1, 2]), "denied_attestation_keys": sets([ONE * 64, TWO * 64]),
    "denied_roots": sets([ONE * 48, TWO * 48]),
    "accepted_sgx_types": maybe(sets([0, 1, 2], min_size=1)),
    "accepted_platform_provider_ids": maybe(sets(["a", "b"], min_size=1)),
    "report_data": maybe(st.sampled_from([ONE * 64, TWO * 64])), "bindings": maybe(sets(list(BindingKind), min_size=1)),
    "required": sets(FLAGS), "accept_unknown": sets(UNKNOWABLE), **{flag: st.booleans() for flag in FLAGS},
}  # fmt: skip


def masked(word, size, lead=1):
    value = st.sampled_from([bytes(size), bytes([lead]) + bytes(size - 1)])
    mask = st.sampled_from([b"\xff" * size, b"\x05" + bytes(size - 1), bytes([lead]) + bytes(size - 1)])
    return {word: maybe(value), f"{word}_mask": maybe(mask)}


SEPT = bytes(3) + b"\x10" + bytes(4)
TD_ATTRIBUTES = {
    "td_attributes": maybe(st.sampled_from([SEPT, bytes(3) + b"\x50" + bytes(4), bytes(8)])),
    "td_attributes_mask": maybe(st.sampled_from([b"\xff" * 8, bytes(3) + b"\x50" + bytes(4), SEPT])),
}
ENCLAVE = {
    "kss": maybe(KSS), "allow_provision_key": st.booleans(), "allow_einittoken_key": st.booleans(),
    **masked("attributes", 8, lead=5), **masked("xfrm", 8), **masked("miscselect", 4),
}  # fmt: skip
DOMAIN = {
    **{f"rtmr{number}": maybe(st.sampled_from([ONE * 48, TWO * 48])) for number in range(4)},
    **{word: maybe(st.sampled_from([bytes(48), ONE * 48])) for word in ("mr_config_id", "mr_owner", "mr_owner_config")},
    "mr_seam": maybe(st.sampled_from([ONE * 48, TWO * 48])), "mr_signer_seam": maybe(st.just(bytes(48))),
    **masked("xfam", 8),
    **TD_ATTRIBUTES, "require_sept_ve_disable": st.booleans(),
    **{word: st.booleans() for word in TD_SWITCHES},
}  # fmt: skip
BASE = {
    "name": "x", "mrenclave": None, "mrsigner": None, "isvprodid": None, "min_isvsvn": None,
    "accepted_tcb_status": frozenset({TcbStatus.UP_TO_DATE}), "accepted_advisory_ids": frozenset(),
    "rejected_advisory_ids": frozenset(), "allow_debug": False, "trust_domains": frozenset(DOMAINS),
    "max_collateral_age": 3 * DAY,
}  # fmt: skip
IDENTITIES = (
    {"mrenclave": ONE * 32},
    {"mrenclave": TWO * 32},
    {"mrsigner": ONE * 32, "isvprodid": 1, "min_isvsvn": 1},
    {"mrsigner": ONE * 32, "isvprodid": 1, "min_isvsvn": 2},
    {"mrsigner": TWO * 32, "isvprodid": 1, "min_isvsvn": 1},
    {"mrsigner": ONE * 32, "isvprodid": 2, "min_isvsvn": 1},
    {"mrtd": ONE * 48, "rtmr1": ONE * 48},
    {"mrtd": TWO * 48, "rtmr1": ONE * 48},
    {"mrtd": ONE * 48, "mr_config_id": ONE * 48},
)


def changed(draw, policy, word):
    """Change one field; what cannot be stays as it was."""
    words = COMMON | (ENCLAVE if policy.tee is Tee.SGX else DOMAIN)
    mask = {f"{word}_mask": None} if f"{word}_mask" in words and draw(st.booleans()) else {}
    try:
        return replace(policy, **{word: draw(words[word])} | mask)
    except PolicyUnusable:
        return policy


def varied(draw, policy, *, most=4):
    """Change a few fields."""
    words = COMMON | (ENCLAVE if policy.tee is Tee.SGX else DOMAIN)
    for word in draw(st.lists(st.sampled_from(sorted(words)), max_size=most)):
        policy = changed(draw, policy, word)
    return policy


@st.composite
def policies(draw):
    return varied(draw, Policy(**(BASE | draw(st.sampled_from(IDENTITIES)))))


NAMING = ("mrenclave", "mrsigner", "isvprodid", "min_isvsvn", "mrtd")


@st.composite
def pairs(draw, word):
    """An old policy and a new one that differ in one word only, if at all."""
    kinds = [each for each in IDENTITIES if word in COMMON or ("mrtd" in each) == (word in DOMAIN)]
    if word in NAMING:
        old, new = (draw(st.sampled_from([each for each in IDENTITIES if word in each])) for _ in range(2))
        policy = varied(draw, Policy(**(BASE | old)), most=2)
        return policy, replace(policy, **{word: new[word]})
    outdated = {"accepted_tcb_status": frozenset(STATUSES[:3])} if word == "platform_grace" else {}
    policy = varied(draw, Policy(**(BASE | outdated | draw(st.sampled_from(kinds)))), most=2)
    return changed(draw, policy, word), changed(draw, policy, word)


CLAIM_VALUES = {
    "tcb_status": st.sampled_from(STATUSES), "advisories": sets(ADVISORIES).map(tuple),
    "tcb_date": st.sampled_from([AT - each * DAY for each in (1, 2, 3, 4)]), "tcb_eval_ref_num": st.integers(0, 3),
    "pck_serial": st.integers(1, 3), "attestation_key": st.sampled_from([ONE * 64, TWO * 64]),
    "root_key_id": st.sampled_from(["01" * 48, "02" * 48]),
    "fmspc": st.sampled_from(["00906ED50000", "00606A000000"]), "pck_ppid": st.sampled_from(IDS),
    "platform_instance_id": st.sampled_from(IDS), "platform_provider_id": st.sampled_from("ab"),
    "sgx_type": st.integers(0, 2), "dynamic_platform": st.booleans(), "cached_keys": st.booleans(),
    "smt_enabled": st.booleans(), "collateral_issued": st.sampled_from([AT - each * DAY for each in (0, 1, 2, 3, 4)]),
    "not_after": st.sampled_from([AT - 2 * DAY, AT - DAY, AT, AT + DAY]),
    "in_grace": st.sampled_from([(), ("pck_crl",)]),
    "evidence_time": st.sampled_from([AT - timedelta(seconds=each) for each in (0, 60, 61, 121, 201)]),
    "debug": st.booleans(), "report_data": st.sampled_from([ONE * 64, TWO * 64]),
    "attributes": st.sampled_from([bytes([flags]) + bytes(7) for flags in (0x05, 0x15, 0x25, 0x85)]),
    "mr_seam": st.sampled_from([ONE * 48, TWO * 48]),
    "xfrm": st.sampled_from([bytes(8), ONE + bytes(7), b"\x04" + bytes(7)]), "misc_select": st.sampled_from([0, 1, 4]),
    "config_svn": st.integers(0, 1), "reserved_clear": st.booleans(), "isv_svn": st.integers(0, 3),
    "mr_enclave": st.sampled_from([ONE * 32, TWO * 32]), "mr_signer": st.sampled_from([ONE * 32, TWO * 32]),
    "td_attributes": st.sampled_from(
        [bytes(3) + bytes([bits]) + bytes(4) for bits in (0, 0x10, 0x30, 0x50, 0x90)]
    ),
    "xfam": st.sampled_from([bytes(8), ONE + bytes(7), b"\x04" + bytes(7)]),
    **{f"rtmr{number}": st.sampled_from([ONE * 48, TWO * 48]) for number in range(4)},
    **{word: st.sampled_from([bytes(48), ONE * 48]) for word in
       ("mr_config_id", "mr_owner", "mr_owner_config", "mr_service_td", "mr_signer_seam")},
}  # fmt: skip


def ideal(policy):
    """Claims that a policy accepts, so that small changes stay near its border."""

    def value(word, default):
        return getattr(policy, word) if getattr(policy, word) is not None else default

    owner = {word: value(word, bytes(48)) for word in ("mr_config_id", "mr_owner", "mr_owner_config")}
    registers = {f"rtmr{number}": value(f"rtmr{number}", ONE * 48) for number in range(4)}
    allowed = [entry.id for entry in policy.platforms or () if entry.until > AT] or IDS
    identity = next((each for each in allowed if each not in policy.denied_platforms), b"\x09" * 16)
    providers = sorted(policy.accepted_platform_provider_ids or {"a"})
    return Claims(
        source=EvidenceSource.QUOTE, trust_domain=min(policy.trust_domains), tee=policy.tee,
        tcb_status=TcbStatus.UP_TO_DATE, advisories=(), tcb_date=AT - DAY, tcb_eval_ref_num=3, fmspc="00606A000000",
        pck_serial=9, attestation_key=bytes(64), root_key_id="00" * 48,
        pck_ppid=identity, platform_instance_id=identity, platform_provider_id=providers[0],
        sgx_type=min(policy.accepted_sgx_types or {1}), dynamic_platform=False, cached_keys=False, smt_enabled=False,
        collateral_issued=AT, not_before=AT, not_after=AT + DAY, judged_at=AT, in_grace=(), evidence_time=AT,
        debug=False, report_data=policy.report_data or ONE * 64, mr_enclave=policy.mrenclave or ONE * 32,
        mr_signer=policy.mrsigner or ONE * 32, isv_prod_id=policy.isvprodid or 1, isv_svn=3,
        attributes=b"\x05" + bytes(7), xfrm=policy.xfrm or bytes(8),
        misc_select=int.from_bytes(policy.miscselect or b"", "little"), config_id=bytes(64),
        config_svn=policy.kss.config_svn if policy.kss else 0, isv_ext_prod_id=bytes(16), isv_family_id=bytes(16),
        reserved_clear=True, td_attributes=policy.td_attributes or SEPT, xfam=policy.xfam or bytes(8),
        mr_td=policy.mrtd or ONE * 48, mr_seam=policy.mr_seam or ONE * 48, mr_signer_seam=bytes(48),
        mr_service_td=bytes(48),
        **owner, **registers,
    )  # fmt: skip


# Claims that a word looks at, where they do not bear its name.
LOOKED_AT = {
    "min_isvsvn": ["isv_svn"], "max_collateral_age": ["collateral_issued"], "max_evidence_age": ["evidence_time"],
    "collateral_grace": ["not_after", "in_grace"], "platform_grace": ["tcb_status", "tcb_date"],
    "min_eval_num": ["tcb_eval_ref_num"], "min_tcb_level_date": ["tcb_date"], "accepted_tcb_status": ["tcb_status"],
    "accepted_advisory_ids": ["advisories"], "platforms": ["pck_ppid", "platform_instance_id"],
    "denied_platforms": ["pck_ppid"], "denied_fmspc": ["fmspc"], "denied_pck_serials": ["pck_serial"],
    "denied_attestation_keys": ["attestation_key"], "denied_roots": ["root_key_id"], "accepted_sgx_types": ["sgx_type"],
    "accepted_platform_provider_ids": ["platform_provider_id"], "allow_dynamic_platform": ["dynamic_platform"],
    "allow_cached_keys": ["cached_keys"], "allow_smt_enabled": ["smt_enabled"], "required": ["smt_enabled"],
    "allow_debug": ["debug"], "allow_provision_key": ["attributes"], "allow_einittoken_key": ["attributes"],
    "attributes": ["attributes"], "attributes_mask": ["attributes"], "xfrm_mask": ["xfrm"], "xfrm": ["xfrm"],
    "miscselect": ["misc_select"], "miscselect_mask": ["misc_select"], "kss": ["config_svn"],
    "require_sept_ve_disable": ["td_attributes"], "allow_service_td": ["mr_service_td"],
    "td_attributes": ["td_attributes"], "td_attributes_mask": ["td_attributes"], "xfam_mask": ["xfam"],
    **{f"allow_{flag}": ["td_attributes"] for flag in ("pks", "kl", "perfmon", "migratable")},
}  # fmt: skip


def td_bits(value):
    return st.just(bytes.fromhex(value))


# What a claim has to be for the word to matter, where chance would rarely find it.
MATTERS = {
    "allow_pks": td_bits("0000005000000000"), "allow_kl": td_bits("0000009000000000"),
    "allow_migratable": td_bits("0000003000000000"), "allow_perfmon": td_bits("0000001000000080"),
    "require_sept_ve_disable": td_bits("0000000000000000"), "allow_provision_key": st.just(b"\x15" + bytes(7)),
    "allow_einittoken_key": st.just(b"\x25" + bytes(7)), "allow_service_td": st.just(ONE * 48),
    "required": st.none(), "in_grace": st.just(("pck_crl",)), "allow_dynamic_platform": st.just(True),
    "allow_cached_keys": st.just(True), "allow_smt_enabled": st.just(True), "allow_debug": st.just(True),
}  # fmt: skip
UNKNOWN_CLAIM = {"accepted_tcb_status": "tcb_status", "accepted_advisory_ids": "advisories",
                 "reserved": "reserved_clear", "max_collateral_age_days": "collateral_issued", "mr_owner": "mr_owner",
                 "attributes": "attributes", "require_sept_ve_disable": "td_attributes",
                 "config_id": "config_id"}  # fmt: skip


@st.composite
def claims_near(draw, policy, word=None):
    claims = ideal(policy)
    for name in LOOKED_AT.get(word, [word] if word in CLAIM_VALUES else []):
        values = MATTERS.get(word, MATTERS.get(name, CLAIM_VALUES[name]))
        claims = replace(claims, **{name: draw(values if draw(st.integers(0, 7)) else st.none())})
    if word == "accept_unknown" and policy.accept_unknown & UNKNOWN_CLAIM.keys():
        claims = replace(claims, **{UNKNOWN_CLAIM[min(policy.accept_unknown & UNKNOWN_CLAIM.keys())]: None})
    for name in draw(st.lists(st.sampled_from(sorted(CLAIM_VALUES)), max_size=1 if word else 2)):
        claims = replace(claims, **{name: draw(maybe(CLAIM_VALUES[name]))})
    return replace(claims, trust_domain=draw(st.sampled_from([claims.trust_domain, *DOMAINS])))


def check_never_missed(old, new, claims):
    if appraise(claims, new, at=AT).accepted and not appraise(claims, old, at=AT).accepted:
        assert not_covered(old, new)


WORDS = sorted({*COMMON, *ENCLAVE, *DOMAIN, *NAMING})


@pytest.mark.parametrize("word", WORDS)
@given(data=st.data())
@settings(max_examples=settings.default.max_examples // 2, deadline=None)
def test_what_one_word_newly_accepts_is_found_to_be_wider(word, data):
    old, new = data.draw(pairs(word))
    check_never_missed(old, new, data.draw(claims_near(new, word)))


@given(policies(), policies(), st.data())
@settings(max_examples=2 * settings.default.max_examples, deadline=None)
def test_what_new_accepts_and_old_refuses_is_found_to_be_wider(old, new, data):
    check_never_missed(old, new, data.draw(claims_near(new)))


@given(policies())
def test_a_policy_admits_nothing_more_than_itself(policy):
    assert not_covered(policy, policy) == ()


def test_every_field_of_a_policy_is_compared():
    compared = {name for entry in FIELDS for name in fields_of(entry)}
    assert compared == {field.name for field in fields(Policy)} - {"name"}


SIGNATURES = st.builds(
    SignatureCheck, mrsigner=maybe(st.sampled_from([ONE * 32, TWO * 32])), isvprodid=maybe(st.integers(1, 2)),
    min_isvsvn=maybe(st.integers(0, 2)), max_isvsvn=maybe(st.integers(2, 3)),
)  # fmt: skip


SECRETS = [f"model/{name}/{version}" for name in "ab" for version in (1, 2, 3, 4)] + ["secret/a", "tls/a"]
PATTERNS = [*SECRETS[:3], SECRETS[4], *SECRETS[-2:], "model/a/1-2", "model/a/2-3", "model/a/1-3", "model/a/2-",
            "model/b/1-"]  # fmt: skip
SINGLE = st.sampled_from(["model/a/1", "model/b/1"]).map(lambda text: (Pattern.parse(text),))
SEVERAL = st.lists(st.sampled_from(PATTERNS).map(Pattern.parse), min_size=1, max_size=3, unique=True).map(tuple)
LIMITS = st.builds(
    Limits, max_leases=maybe(st.sampled_from([1, 2, 5])), lease_seconds=st.sampled_from([60, 600, 1200]),
    until=maybe(st.sampled_from([AT, AT + DAY, AT + 2 * DAY])),
)  # fmt: skip


@st.composite
def limits_for(draw, patterns):
    """Limits that the reader takes for these patterns."""
    limits = draw(LIMITS)
    models = [each for each in patterns if each.kind is SecretKind.MODEL]
    highest = min([each.high for each in models if each.high is not None], default=4)
    least = draw(maybe(st.integers(1, highest))) if models else None
    return replace(limits, min_model_version=least)


@st.composite
def rules(draw, patterns=SINGLE):
    policy = draw(policies())
    signature = draw(SIGNATURES) if policy.mrenclave else SignatureCheck()
    found = draw(patterns)
    limits = draw(st.just(NO_LIMITS) | limits_for(found))
    return ReleaseRule(
        policy=policy, patterns=found, require_fresh=draw(st.booleans()), signature=signature, limits=limits
    )  # fmt: skip


def edited(draw, rule):
    """The rule with a word or a few changed: of its evidence, of what it releases, or of how much."""
    part = draw(st.sampled_from(["policy", "policy", "patterns", "limits", "fresh"]))
    if part == "policy":
        return replace(rule, policy=varied(draw, rule.policy))
    if part == "fresh":
        return replace(rule, require_fresh=not rule.require_fresh)
    patterns = draw(SINGLE | SEVERAL) if part == "patterns" else rule.patterns
    return replace(rule, patterns=patterns, limits=draw(limits_for(patterns)))


@st.composite
def files(draw):
    """An old file and a new one: rules are kept, changed, dropped and added."""
    kind = draw(st.sampled_from([SINGLE, SINGLE | SEVERAL]))
    old = draw(st.lists(rules(kind), max_size=3))
    new = []
    for rule in old:
        fate = draw(st.sampled_from(["keep", "keep", "change", "drop"]))
        if fate != "drop":
            new.append(rule if fate == "keep" else edited(draw, rule))
    new += draw(st.lists(rules(kind), max_size=1))

    def named(listed):
        return tuple(
            replace(rule, policy=replace(rule.policy, name=f"rule {number}")) for number, rule in enumerate(listed)
        )

    return ReleasePolicy(rules=named(old)), ReleasePolicy(rules=named(new))


def more_of_it(before, after):
    """Whether a grant is for more leases, or longer ones."""
    leases = [each.rule.limits.max_leases or inf for each in (before, after)]
    return leases[1] > leases[0] or after.rule.limits.lease_seconds > before.rule.limits.lease_seconds


@given(st.data())
@settings(max_examples=6 * settings.default.max_examples, deadline=None)
def test_sa_08_a_file_that_releases_what_the_old_one_did_not_is_found_to_be_wider(data):
    old, new = data.draw(files())
    if not new.rules:
        assert policy_diff.diff(old, new).wider == ()
        return
    claims = data.draw(claims_near(data.draw(st.sampled_from(new.rules)).policy))
    fresh, wanted = data.draw(st.booleans()), data.draw(st.none() | st.sampled_from(SECRETS).map(SecretName.parse))
    at = data.draw(st.sampled_from([AT, AT + DAY])) if claims.tcb_status is TcbStatus.UP_TO_DATE else AT
    before, after = (decide(claims, each.rules, fresh=fresh, at=at, wanted=wanted) for each in (old, new))
    found = policy_diff.diff(old, new)
    if isinstance(after, Grant) and (
        not isinstance(before, Grant) or before.secret_name != after.secret_name or more_of_it(before, after)
    ):
        assert found.wider
    if isinstance(before, Grant) and not isinstance(after, Grant) and len(new.rules) == len(old.rules) == 1:
        assert found.narrower


ORDERED = {  # of every limit, values from the least to the most that it admits
    "max_leases": [1, 2, 5, None], "lease_seconds": [60, 600, 1200], "until": [AT, AT + DAY, None],
    "min_model_version": [3, 2, 1, None],
}  # fmt: skip
CHAINS = [["model/a/2"], ["model/a/2-3"], ["model/a/2-"], ["model/a/1-"], ["model/a/1-", "secret/a"]]


@pytest.mark.parametrize("word", [*ORDERED, "release"])
@given(rule=rules(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_sa_08_to_raise_a_limit_is_always_wider_and_to_lower_it_never(word, rule, data):
    chain = ORDERED.get(word, CHAINS)
    low = data.draw(st.integers(0, len(chain) - 2))
    high = data.draw(st.integers(low + 1, len(chain) - 1))
    rule = replace(rule, patterns=(Pattern.parse("model/a/1-"),), limits=replace(rule.limits, min_model_version=None))
    if word == "release":
        old, new = (replace(rule, patterns=tuple(map(Pattern.parse, chain[each]))) for each in (low, high))
    else:
        old, new = (replace(rule, limits=replace(rule.limits, **{word: chain[each]})) for each in (low, high))
    same = word == "min_model_version" and (low, high) == (2, 3)  # versions count from 1
    assert policy_diff.not_covered_by(old, new) == (() if same else (word,))
    assert policy_diff.not_covered_by(new, old) == ()
    [finding] = policy_diff.diff(*(ReleasePolicy(rules=(each,)) for each in (old, new))).wider or [None]
    assert finding is None or word in [each.word for each in finding.words]


@given(SEVERAL, SEVERAL, st.data())
def test_what_a_rule_releases_is_compared_by_the_secrets_that_it_names(before, after, data):
    rule = data.draw(rules())
    old, new = (replace(rule, patterns=each, limits=data.draw(limits_for(each))) for each in (before, after))

    def released(each):
        least = each.limits.min_model_version or 1
        names = [SecretName.parse(text) for text in (*SECRETS, "model/a/99", "model/b/99")]
        return {name for name in names if each.names(name) and (name.version or least) >= least}

    words = {"release", "min_model_version"} & set(policy_diff.not_covered_by(old, new))
    assert bool(words) == (not released(old) >= released(new))


@given(st.lists(rules(), max_size=3, unique_by=lambda rule: rule.policy.mrenclave or rule.policy.mrtd or b""))
def test_a_file_admits_nothing_more_than_itself(listed):
    policy = ReleasePolicy(rules=tuple(listed))
    found = policy_diff.diff(policy, policy)
    assert (found.wider, found.narrower) == ((), ())


@given(rules(SINGLE | SEVERAL))
@settings(deadline=None)
def test_a_rule_of_the_whole_vocabulary_is_read_back_as_it_was_written(rule):
    [found] = policy_file.parse("version = 1\n" + policy_text.render(rule)).rules
    assert found == rule


@pytest.mark.parametrize("profile", ["production", "hardened"])
@given(rule=rules())
@settings(deadline=None)
def test_a_profile_admits_nothing_that_the_file_without_it_refuses(profile, rule):
    plain = policy_file.parse("version = 1\n" + policy_text.render(rule))
    try:
        strict = policy_file.parse(f'version = 1\nprofile = "{profile}"\n' + policy_text.render(rule))
    except policy_file.PolicyFileMalformed:
        return
    assert policy_diff.diff(plain, strict).wider == ()
