"""The cached verifier: what it remembers, what it asks every time, what it forgets."""

import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.attestation import Anchor, Collateral, EvidenceRefused, Verifier, verify
from strongroom.attestation.validity import TimeWithoutZone
from strongroom.attestation.verifier import MAX_CHAIN_BYTES, MAX_COLLATERAL_CHARACTERS, MAX_COLLATERALS, Lru

VECTORS = Path(
    os.environ.get("STRONGROOM_VECTORS", Path(__file__).resolve().parents[4] / "shared" / "vectors")
).joinpath("dcap")
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def outcome(judge, *args, **options):
    """Return the verdict, or code, step and sentence of the refusal."""
    try:
        return judge(*args, **options)
    except EvidenceRefused as refused:
        return refused.reason, refused.step, refused.sentence


class Case:
    """One piece of evidence with its collateral and anchors; judged cold and by verifiers."""

    def __init__(self, world):
        self.quote, self.collateral = world.quote(), Collateral(**world.collateral())
        self.anchors, self.now = [Anchor.from_certificate(world.root_der())], world.now

    def cold(self, at=None, grace=timedelta(0)):
        at = at or self.now
        options = {"anchors": self.anchors, "at": at, "collateral_grace": grace}
        return outcome(verify, self.quote, self.collateral, **options)

    def by(self, verifier, at=None, grace=timedelta(0)):
        return outcome(verifier.verify, self.quote, self.collateral, at=at or self.now, collateral_grace=grace)


@pytest.fixture
def case(world):
    return Case(world)


@pytest.fixture
def warm(case):
    """Return a verifier that has seen the case."""
    verifier = Verifier(case.anchors)
    assert case.by(verifier) == case.cold()
    return verifier


@pytest.fixture
def never_again(monkeypatch):
    """Make every check that a warm verifier must not repeat fail the test."""

    def refuse(*args, **options):
        pytest.fail("this was to be remembered")

    for name in ("check_collateral", "check_platform", "check_quote"):
        monkeypatch.setattr(f"strongroom.attestation.verifier.{name}", refuse)


def code_of(seen):
    assert isinstance(seen, tuple), f"not refused: {seen}"
    return seen[0]


def test_a_new_verifier_proves_everything(case, never_again):
    with pytest.raises(pytest.fail.Exception, match="remembered"):
        case.by(Verifier(case.anchors))


@pytest.mark.parametrize(("version", "body_type"), [(3, 1), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3)])
def test_what_was_proved_is_not_proved_again(lw, version, body_type, request):
    case = Case(lw.LittleWorld().become(version, body_type))
    verifier = Verifier(case.anchors)
    cold = case.cold()
    assert not isinstance(cold, tuple), cold
    assert case.by(verifier) == cold
    request.getfixturevalue("never_again")
    assert case.by(verifier) == cold
    assert case.by(verifier, case.now + DAY) == case.cold(case.now + DAY)


def test_collateral_is_known_by_its_text_not_by_the_object(case, warm, request):
    case.collateral = Collateral.from_json(case.collateral.to_json())
    request.getfixturevalue("never_again")
    assert case.by(warm) == case.cold()


def test_the_time_needs_its_zone_warm_too(case, warm):
    with pytest.raises(TimeWithoutZone, match="no time zone"):
        warm.verify(case.quote, case.collateral, at=datetime(2026, 6, 1))  # noqa: DTZ001  # that is the point


# The clock: a warm verifier says what a cold one says, at any time and in any order.


def test_sc_13_a_clock_past_expiry_is_refused_with_the_cold_code(case, warm):
    for days in (28, 29, 30, 900, 1001):
        assert case.by(warm, case.now + days * DAY) == case.cold(case.now + days * DAY)
    assert code_of(case.by(warm, case.now + 30 * DAY)) == "CRL_EXPIRED"
    assert code_of(case.by(warm, case.now + 1001 * DAY)) == "ROOT_EXPIRED"


def test_sc_12_a_clock_before_issue_is_refused_with_the_cold_code(case, warm):
    for days in (-1, -2, -10, -101):
        assert case.by(warm, case.now + days * DAY) == case.cold(case.now + days * DAY)
    assert code_of(case.by(warm, case.now - 2 * DAY)) == "CRL_EXPIRED"
    assert code_of(case.by(warm, case.now - 101 * DAY)) == "ROOT_EXPIRED"


def test_fb_18_a_clock_that_jumps_back_and_forth_leaves_nothing_behind(case, warm):
    for days in (0, 3650, 0, -3650, 0, 30, 0):
        assert case.by(warm, case.now + days * DAY) == case.cold(case.now + days * DAY)
    assert not isinstance(case.by(warm), tuple)


@pytest.mark.parametrize("side", ["since", "until"])
def test_sc_13_each_window_ends_at_the_same_second_warm_and_cold(world, side):
    """Every part gets dates of its own; at each end, and a second to either side, with and without grace."""
    sign = -1 if side == "since" else 1
    for number, recipe in enumerate(world.recipes.values()):
        recipe.since, recipe.until = world.now - (20 + number) * DAY, world.now + (20 + number) * DAY
    for number, crl in enumerate(world.crls.values()):
        crl["since"], crl["until"] = world.now - (10 + number) * DAY, world.now + (10 + number) * DAY
    for number, part in enumerate((world.tcb_info, world.qe_identity)):
        part["issueDate"] = (world.now - (5 + number) * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
        part["nextUpdate"] = (world.now + (5 + number) * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    case = Case(world)
    verifier = Verifier(case.anchors)
    assert case.by(verifier) == case.cold()
    codes = set()
    for days in range(4, 26):
        for second in (-SECOND, timedelta(0), SECOND):
            for grace in (timedelta(0), 3 * DAY, 100 * DAY):
                at = case.now + sign * (days * DAY + second)
                cold = case.cold(at, grace)
                assert case.by(verifier, at, grace) == cold
                codes.add(cold[0] if isinstance(cold, tuple) else cold.in_grace)
    assert {"ROOT_EXPIRED", "TCB_INFO_EXPIRED", "CRL_EXPIRED"} <= codes


# Staleness: grace is asked for each time, and named each time.


def test_tcb_11_grace_is_named_at_every_use_and_lent_to_nobody(case, warm):
    late = case.now + 30 * DAY
    for _ in range(3):
        verdict = case.by(warm, late, 5 * DAY)
        assert verdict == case.cold(late, 5 * DAY)
        assert verdict.in_grace
        assert code_of(case.by(warm, late)) == "CRL_EXPIRED"
    assert case.by(warm).in_grace == ()


def test_tcb_10_what_was_first_seen_in_grace_is_stale_without_it(case):
    verifier, late = Verifier(case.anchors), case.now + 30 * DAY
    assert case.by(verifier, late, 5 * DAY).in_grace
    assert code_of(case.by(verifier, late)) == "CRL_EXPIRED"
    assert code_of(case.by(verifier, late + 10 * DAY, 5 * DAY)) == "CRL_EXPIRED"


# Collateral: another text is another key.


@pytest.mark.parametrize("revoked", [
    ("pck", "leaf", "PCK_REVOKED"), ("root", "ca", "INTERMEDIATE_REVOKED"), ("root", "signer", "TCB_SIGNING_REVOKED"),
    ("root", "root", "ROOT_REVOKED"),
])  # fmt: skip
def test_sc_13_a_revocation_acts_at_once(world, case, warm, revoked):
    which, role, code = revoked
    world.crls[which]["revoked"] = [world.recipes[role].serial]
    case.collateral = Collateral(**world.collateral())
    assert code_of(case.by(warm)) == code == code_of(case.cold())


def test_sc_13_new_tcb_info_changes_the_status_at_once_and_old_ones_return_with_their_text(world, case, warm):
    before, old = case.by(warm), case.collateral
    for level in world.tcb_info["tcbLevels"]:
        level["tcbStatus"] = "Revoked"
    case.collateral = Collateral(**world.collateral())
    assert case.by(warm).status == "Revoked"
    case.collateral = old
    assert case.by(warm) == before


@pytest.mark.parametrize("part", [name for name in Collateral.__dataclass_fields__ if not name.startswith("pck_cert")])
def test_sc_13_no_part_of_the_collateral_can_change_behind_the_key(case, warm, part):
    text = getattr(case.collateral, part)
    edits = {name: getattr(case.collateral, name) for name in Collateral.__dataclass_fields__}
    case.collateral = Collateral(**edits | {part: "00" if text is None else text[:40] + text[41:]})
    cold = case.cold()
    assert case.by(warm) == cold
    assert isinstance(cold, tuple) or text is None


# Anchors, chains, quoting enclaves: nothing is lent.


def test_sc_13_the_same_chain_under_other_anchors_is_no_hit(lw, case, warm):
    assert not isinstance(case.by(warm), tuple)
    other = lw.LittleWorld()
    other.recipes["root"].key = other.recipes["root"].signed_by = lw.KEYS["other"]
    stranger = Verifier([Anchor.from_certificate(other.root_der())])
    assert code_of(case.by(stranger)) == "ROOT_UNTRUSTED"
    assert not isinstance(case.by(warm), tuple)


def test_anchors_cannot_be_added_to_a_verifier_from_outside(lw, case):
    anchors = []
    verifier = Verifier(anchors)
    anchors.extend(case.anchors)
    assert code_of(case.by(verifier)) == "ROOT_UNTRUSTED"


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_sc_04_every_byte_of_a_known_quote_still_counts(case, warm):
    """Header, body, signature, key, QE report, its signature, auth data: each belongs to a key or is verified."""
    for at in range(0, len(case.quote), 13):
        forged = Case.__new__(Case)
        forged.__dict__.update(case.__dict__, quote=flipped(case.quote, at))
        assert forged.by(warm) == forged.cold()


def test_sc_05_an_attestation_key_borrows_nothing_from_another_one(world, lw, case, warm):
    world.attestation_key = lw.KEYS["other"]
    vouched = Case(world)
    assert case.by(warm) == case.cold()
    case.quote = vouched.quote
    assert case.by(warm) == case.cold()
    # The other key under the report that speaks of the first one.
    start = case.quote.index(lw.raw_point(lw.KEYS["other"]))
    mixed = case.quote[:start] + lw.raw_point(lw.KEYS["attestation"]) + case.quote[start + 64 :]
    case.quote = mixed
    assert code_of(case.by(warm)) == "INVALID_QE_REPORT_DATA" == code_of(case.cold())


def test_a_debug_enclave_under_a_known_key_says_so(world, lw, case, warm):
    world.body = lw.report(mr_enclave=b"\xe1" * 32, mr_signer=b"\x51" * 32, isv_prod_id=3, isv_svn=7,
                           attributes=b"\x07" + bytes(7) + b"\xe7" + bytes(7), report_data=bytes(64))  # fmt: skip
    case.quote = Case(world).quote
    assert case.by(Verifier(case.anchors)) == case.cold()
    assert case.by(warm).debug


def test_a_trust_domain_is_judged_by_its_own_module(lw):
    """The quoting enclave is known; the second TD was launched under an older module, the third under none."""
    verifier, seen = None, []
    world = lw.LittleWorld().become(4, 2)
    case = Case(world)
    verifier = Verifier(case.anchors)
    for svn in (b"\x05\x01\x03", b"\x02\x01\x03", b"\x05\x07\x03", b"\x00\x00\x03", b"\x01\x01\x03"):
        world.body = lw.td_report(tee_tcb_svn=svn + bytes(13))
        case.quote = world.quote()
        assert case.by(verifier) == case.cold()
        seen.append(case.cold())
    assert len({str(each if isinstance(each, tuple) else each.status) for each in seen}) > 2


# Bounds, threads, refusals.


def test_refusals_are_not_remembered(world, case):
    verifier = Verifier(case.anchors)
    early = case.now - 500 * DAY
    assert code_of(case.by(verifier, early)) == code_of(case.cold(early))
    assert case.by(verifier) == case.cold()


def held(verifier):
    return len(verifier._collaterals), len(verifier._platforms), len(verifier._vouched)


def test_ev_07_endless_chains_and_collaterals_cost_bounded_memory(lw, world, case):
    """The same evidence in endless spellings: white space behind PEM is allowed."""
    verifier = Verifier(case.anchors, max_entries=8, max_keys=8)
    chain = "".join(lw.pem(world.certificate(role)) for role in world.pck_chain).encode()
    for number in range(24):
        world.cert_data = chain + b"\n" * number
        case.quote = world.quote()
        assert not isinstance(case.by(verifier), tuple)
    assert held(verifier) == (1, 8, 8)
    parts = json.loads(case.collateral.to_json())
    for _ in range(24):
        parts["pck_crl_issuer_chain"] += "\n"
        case.collateral = Collateral(**parts)
        assert not isinstance(case.by(verifier), tuple)
    assert held(verifier) == (8, 8, 8)


def test_ev_07_a_chain_of_unusual_size_is_verified_and_not_kept(lw, world, case):
    verifier = Verifier(case.anchors)
    chain = "".join(lw.pem(world.certificate(role)) for role in world.pck_chain).encode()
    world.cert_data = chain + b"\n" * MAX_CHAIN_BYTES
    case.quote = world.quote()
    assert case.by(verifier) == case.cold()
    assert held(verifier)[1] == 0


def test_ev_07_large_collateral_is_not_hoarded(world, case):
    verifier = Verifier(case.anchors)
    for number in range(24):
        world.tcb_info["more"] = "x" * (900_000 + number)
        case.collateral = Collateral(**world.collateral())
        assert not isinstance(case.by(verifier), tuple)
    assert 10 < len(verifier._collaterals) < 24
    assert verifier._collaterals.weight <= MAX_COLLATERAL_CHARACTERS


def test_no_more_than_some_collaterals_are_kept(case):
    assert Verifier(case.anchors)._collaterals._max_entries == MAX_COLLATERALS


def test_the_least_lately_used_is_forgotten():
    memory = Lru(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert [memory.get(key) for key in "abc"] == [1, None, 3]


def test_what_weighs_too_much_is_not_kept_and_pushes_nothing_out():
    memory = Lru(9, max_weight=10)
    memory.put("a", 1, 6)
    memory.put("b", 2, 11)
    assert (memory.get("a"), memory.get("b"), memory.weight) == (1, None, 6)
    memory.put("c", 3, 6)
    assert (memory.get("a"), memory.get("c"), memory.weight) == (None, 3, 6)


def test_a_memory_of_no_entries_keeps_none_and_verifies(case):
    verifier = Verifier(case.anchors, max_entries=0, max_keys=0)
    assert case.by(verifier) == case.by(verifier) == case.cold()
    assert held(verifier) == (0, 0, 0)


def test_threads_share_a_verifier(lw, case):
    """Four threads, more cases than fit, good and bad times: everybody gets the cold answer."""
    cases = [case, *(Case(lw.LittleWorld().become(5, body_type)) for body_type in (1, 2, 3))]
    for each in cases:
        each.anchors = case.anchors
    times = [case.now, case.now + 30 * DAY, case.now - 2 * DAY]
    wanted = {(number, at): each.cold(at) for number, each in enumerate(cases) for at in times}
    verifier = Verifier(case.anchors, max_entries=2, max_keys=2)
    wrong = []

    def work(seed):
        for turn in range(40):
            number, at = (seed + turn) % len(cases), times[(seed * turn) % len(times)]
            if cases[number].by(verifier, at) != wanted[number, at]:
                wrong.append((number, at))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert max(held(verifier)) <= 2


# All vectors, at several times.


def vectors():
    index = VECTORS / "index.json"
    entries = json.loads(index.read_text(encoding="utf-8"))["vectors"] if index.is_file() else []
    return [pytest.param(entry, id=entry["id"]) for entry in entries if entry["collateral"]]


@pytest.mark.parametrize("entry", vectors())
def test_sc_13_warm_equals_cold_for_every_vector_at_every_time(entry):
    quote = (VECTORS / entry["quote"]).read_bytes()
    collateral = Collateral.from_json((VECTORS / entry["collateral"]).read_bytes())
    anchors = [Anchor.from_certificate((VECTORS / entry["root"]).read_bytes())]
    now = datetime.fromtimestamp(entry["verification_time"], UTC)
    verifier = Verifier(anchors)
    outcome(verifier.verify, quote, collateral, at=now)
    for days, late in ((0, 0), (25, 0), (40, 0), (40, 60), (400, 400), (0, 0), (-40, 60), (9000, 9999), (-9000, 0)):
        at, grace = now + days * DAY, late * DAY
        cold = outcome(verify, quote, collateral, anchors=anchors, at=at, collateral_grace=grace)
        assert outcome(verifier.verify, quote, collateral, at=at, collateral_grace=grace) == cold
