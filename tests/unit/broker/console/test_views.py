"""View models: facts in, what a page says out."""

import pytest

from strongroom.broker.console import (
    collateral_views,
    decision_views,
    ledger_views,
    overview_views,
    policy_views,
    views,
    wording,
)
from strongroom.broker.console.checking import LedgerCheck
from strongroom.broker.console.facts import (
    AdminFact,
    BrokerFact,
    CollateralFact,
    FloorFact,
    GroundFact,
    HeadFact,
    LeaseFact,
    Line,
    PolicyFact,
    RevocationFact,
    SecretFact,
)
from strongroom.broker.console.tally import STEP, Tally
from strongroom.broker.console.wording import Tone
from strongroom.broker.ledger.faults import LineChanged

NOW = 1_800_000_000_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
HEX = "5b1e" * 16


def iso(at_ms):
    return wording.moment(at_ms, NOW).iso


def lease(**changes):
    values = {
        "id": "l1", "tenant": "default", "secret": "model/m/3", "rule": "r", "holder": "aa" * 32, "protocol": "kbs",
        "peer": "10.0.0.1:55", "measurement": HEX, "platform": "bb", "tcb_status": "UpToDate", "broker": "b",
        "state": "live", "granted_ms": NOW - HOUR, "renewed_ms": NOW - 2 * MINUTE, "expires_ms": NOW + 8 * MINUTE,
        "renewals": 3,
    }  # fmt: skip
    return LeaseFact(**values | changes)


def part(days, **changes):
    values = {"family": "00906ED50000", "tee": "sgx", "part": "TCB info", "source": "s", "standing": "current",
              "ends_ms": None if days is None else NOW + int(days * DAY)}  # fmt: skip
    return CollateralFact(**values | changes)


def denial(seq=1, at=NOW, peer="10.0.0.1:77", reasons=None, **changes):
    reasons = [{"code": "POLICY_X", "rule": "r", "word": "w", "observed": "a", "expected": "b", "fix": "do"}] \
        if reasons is None else reasons  # fmt: skip
    entry = {"kind": "decision", "id": f"c{seq}", "time": iso(at), "peer": peer, "protocol": "kbs",
             "decision": "denied", "reasons": reasons}  # fmt: skip
    return Line(seq=seq, entry=entry | changes)


def grant(seq=1, at=NOW, **changes):
    return denial(seq, at, **({"decision": "granted", "secret": "model/m/3", "rule": "r", "reasons": []} | changes))


# Words --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("away", "text"),
    [(0, "just now"), (-999, "just now"), (-SECOND, "1 second ago"), (-59 * SECOND, "59 seconds ago"),
     (-MINUTE, "1 minute ago"), (2 * HOUR, "in 2 hours"), (-3 * DAY, "3 days ago"), (45 * DAY, "in 45 days")],
)  # fmt: skip
def test_times_read_in_one_unit(away, text):
    assert wording.moment(NOW + away, NOW).relative == text


def test_a_time_out_of_range_is_said_to_be_so():
    assert wording.moment(10**20, NOW).relative == "out of range"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", None, 5, "９"])
def test_what_is_no_time_is_none(text):
    assert wording.milliseconds(text) == 0


def test_long_numbers_are_cut_in_sentences_and_kept_whole_beside():
    assert wording.parts(f"saw {HEX}, wanted x") == (("saw ", ""), ("5b1e5b1e…5b1e", HEX), (", wanted x", ""))
    assert wording.parts("") == ()
    assert wording.parts("cafe") == (("cafe", ""),)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), ("", "–"), ([], "–"), (True, "yes"), (False, "no"), (0, "0"), (["a", 1], "a, 1"), ("x" * 900, None)],
)
def test_any_value_is_text_of_bounded_length(value, text):
    shown = wording.plain(value)
    assert len(shown) <= wording.MAX_SHOWN
    assert text is None or shown == text


# Decisions ----------------------------------------------------------------------------------------------------------


def test_a_denial_says_rule_word_seen_and_wanted():
    view = decision_views.decision(denial(), NOW)
    assert (view.why, view.code, view.outcome.tone) == ("r, w: saw a, wanted b", "POLICY_X", Tone.BAD)
    assert view.asked == decision_views.NOT_NAMED


def test_a_denial_before_any_rule_says_what_was_seen():
    reason = {"code": "SR-X", "rule": "", "word": "", "observed": "no certificate", "expected": "nothing wrong"}
    view = decision_views.decision(denial(reasons=[reason]), NOW)
    assert (view.why, view.rule) == ("no certificate", "–")
    assert decision_views.decision_page(denial(reasons=[reason]), NOW).reasons[0].place == ""


@pytest.mark.parametrize("reasons", [None, 5, "x", [1], [None], [{}], {"a": 1}])
@pytest.mark.parametrize(
    "evidence", [None, 5, "x", [], {"status": {"a": []}, "debug": True, "trust_domain": "simulated"}]
)
def test_a_line_of_any_shape_has_a_page(reasons, evidence):
    line = Line(seq=1, entry={"kind": "decision", "reasons": reasons, "evidence": evidence, "time": 7, "peer": None,
                              "lease": []})  # fmt: skip
    page = decision_views.decision_page(line, NOW)
    assert page.head.peer == "–"
    assert ledger_views.lines([line], NOW)[0].href == "decisions/1"


@pytest.mark.parametrize(
    "filters",
    [{"outcome": "denied"}, {"rule": "R"}, {"code": "policy"}, {"peer": "10.0.0.1"}, {"peer": "c1"},
     {"tenant": "default"}, {"secret": "M/3"}],
)  # fmt: skip
def test_a_filter_keeps_what_fits_and_nothing_else(filters):
    found = decision_views.Filters(**filters)
    assert found.any
    assert found.keeps(denial(wanted="model/m/3").entry)
    assert not found.keeps(denial(2, peer="x", reasons=[], decision="granted", tenant="t").entry)
    assert not found.keeps({"kind": "admin"})


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ({"kind": "admin", "actor": {"name": "ada"}, "action": "end_lease", "lease": "l"}, "ada: end lease (l)"),
        ({"kind": "admin", "actor": "x"}, "x: –"),
        ({"kind": "root", "size": 7}, "signed root over 7 lines"),
        ({"kind": "denials", "count": 9}, "9 denials of a flood, counted together"),
        ({"kind": "policy", "rules": 2, "version": 3}, "version 3, rules 2"),
        ({"kind": "genesis"}, "–"),
        ({}, "–"),
    ],
)
def test_other_lines_are_told_in_a_few_words(entry, what):
    assert ledger_views.lines([Line(seq=1, entry=entry)], NOW)[0].what == what


# Leases and replicas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text", "tone"),
    [
        ({}, "Live", Tone.GOOD),
        ({"expires_ms": NOW + 30 * SECOND}, "Expiring", Tone.WARN),
        ({"expires_ms": NOW}, "Lost", Tone.BAD),
        ({"expires_ms": NOW - 1, "state": "lapsed"}, "Lost", Tone.BAD),
        ({"expires_ms": NOW - 1, "state": "ended"}, "Ended", Tone.QUIET),
        ({"expires_ms": NOW - 1, "state": "lapsed", "renewals": 0}, "Over", Tone.QUIET),
        ({"expires_ms": NOW - 1, "renewals": 0}, "Over", Tone.QUIET),
    ],
)
def test_a_lease_is_live_expiring_lost_or_ended(changes, text, tone):
    badge = views.lease(lease(**changes), NOW).state
    assert (badge.text, badge.tone) == (text, tone)


def test_a_replica_is_who_holds_leases_with_one_key():
    found = views.replicas([lease(), lease(id="l2", secret="tls/x"), lease(id="l3", holder="cc")], [], NOW)
    assert [(each.model, each.version, each.leases) for each in found] == [("m", "3", 2), ("m", "3", 1)]


def test_a_replica_shows_a_refusal_that_came_after_its_last_renewal():
    after = decision_views.decision(denial(at=NOW - MINUTE), NOW)
    before = decision_views.decision(denial(at=NOW - HOUR), NOW)
    elsewhere = decision_views.decision(denial(at=NOW - MINUTE, peer="10.9.9.9:1"), NOW)
    assert views.replicas([lease()], [elsewhere, after, before], NOW)[0].reason == after
    assert views.replicas([lease()], [elsewhere, before], NOW)[0].reason is None


def test_live_replicas_come_first():
    gone = lease(id="2", holder="x", state="ended", expires_ms=NOW - 1)
    assert [each.over for each in views.replicas([gone, lease()], [], NOW)] == [False, True]


# Models -------------------------------------------------------------------------------------------------------------


def secret(name, version=1, **changes):
    values = {"tenant": "default", "name": name, "version": version, "kind": "model", "state": "active", "bytes": 16,
              "created_ms": NOW}  # fmt: skip
    return SecretFact(**values | changes)


def test_versions_below_the_floor_are_marked_and_the_newest_comes_first():
    floor = FloorFact(tenant="default", model="m", min_version=10, author="ada", set_ms=NOW)
    [model] = views.models([secret("model/m/9"), secret("model/m/10")], [floor], [lease(secret="model/m/10")], NOW)
    assert [(each.version, each.below_floor, each.leases) for each in model.versions] == [
        ("10", False, 1),
        ("9", True, 0),
    ]
    assert (model.floor, model.floor_by) == (10, "ada")


def test_other_secrets_are_apart():
    found = views.other_secrets([secret("model/m/1"), secret("tls/x", 2, kind="tls", state="retired")], [], NOW)
    assert [(each.name, each.version, each.state.tone) for each in found] == [("tls/x", "2", Tone.WARN)]
    assert [each.tenant for each in found] == ["default"]


def test_a_revocation_of_all_tenants_says_so():
    fact = RevocationFact(id="1", tenant="*", kind="measurement", value=HEX, reason="r", author="a", created_ms=NOW)
    assert views.revocations([fact], NOW)[0].tenant == "every tenant"


@pytest.mark.parametrize(
    ("changes", "text"),
    [({}, "Active"), ({"state": "suspended"}, "Suspended"), ({"not_after_ms": NOW}, "Certificate ended"),
     ({"not_after_ms": NOW + DAY}, "Ends soon")],
)  # fmt: skip
def test_a_person_is_active_suspended_or_about_to_end(changes, text):
    values = {"fingerprint": "aa" * 32, "name": "ada", "role": "owner", "tenant": "*", "state": "active",
              "not_after_ms": NOW + 90 * DAY}  # fmt: skip
    [view] = views.admins([AdminFact(**values | changes)], NOW)
    assert view.state.text == text


# Collateral ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "text", "tone", "left"),
    [(20.5, "Current", Tone.GOOD, "20"), (4.9, "Runs out soon", Tone.WARN, "4"),
     (0.5, "Runs out soon", Tone.WARN, "under 1"), (-1, "Run out", Tone.BAD, "none")],
)  # fmt: skip
def test_a_family_stands_as_its_first_part_to_end(days, text, tone, left):
    [family] = collateral_views.families([part(25), part(days, part="QE identity")], NOW)
    assert (family.badge.text, family.badge.tone, family.days) == (text, tone, left)
    assert family.parts[0].part == ("QE identity" if days < 25 else "TCB info")
    assert 0 <= family.meter <= 100


def test_a_family_with_a_problem_is_unusable_and_comes_first():
    found = collateral_views.families([part(20), part(None, family="F2", problem="nobody answers", fix="call")], NOW)
    assert [(each.family, each.badge.text) for each in found] == [("F2", "Unusable"), ("00906ED50000", "Current")]
    assert found[0].days == "–"


# Overview -----------------------------------------------------------------------------------------------------------


def ground(**changes):
    values = {"store": "s", "root": "r", "brokers": (), "collateral": (), "head": HeadFact(seq=1, digest=""),
              "live_leases": 0}  # fmt: skip
    return GroundFact(**values | changes)


def test_all_is_well():
    broker = BrokerFact(id="b", address="a", version="1", started_ms=NOW - HOUR, seen_ms=NOW - SECOND)
    assert overview_views.attention(ground(brokers=(broker,), collateral=(part(20),)), [lease()], NOW) == ()
    assert overview_views.brokers([broker], NOW)[0].state.text == "Running"


def test_what_needs_attention_comes_with_what_to_do_the_worst_first():
    away = BrokerFact(id="b", address="a", version="1", started_ms=0, seen_ms=NOW - HOUR)
    collateral = (part(2), part(-1, family="F2"), part(None, family="F3", problem="nobody answers", fix="call"))
    found = overview_views.attention(
        ground(brokers=(away,), collateral=collateral), [lease(expires_ms=NOW - 1)], NOW, proposals=2, has_rules=False
    )
    assert [each.tone for each in found] == [Tone.BAD] * 2 + [Tone.WARN] * 4 + [Tone.NOTE]
    assert all(each.what and each.todo for each in found)
    said = " ".join(each.what for each in found)
    for word in ("has run out", "nobody answers", "runs out in 2 days", "not been heard of for 1 hour",
                 "2 policy changes", "lost its lease", "No rule"):  # fmt: skip
        assert word in said


def test_decisions_are_counted_by_the_hour():
    recent = [(NOW, True), (NOW - 30 * MINUTE, False), (NOW - 23 * HOUR - 1, True), (NOW - 25 * HOUR, True)]
    found = overview_views.today(recent, NOW)
    assert (found.granted, found.denied, len(found.bars)) == (2, 1, 24)
    assert found.bars[-1].label == "in the last hour: 1 granted, 1 denied"
    assert found.bars[0].label == "23 to 24 hours ago: 1 granted, 0 denied"
    assert found.bars[-1].denied_y == 0


def test_the_tally_reads_each_decision_once():
    lines = [grant(seq, NOW - (1000 - seq) * SECOND) for seq in range(1, 1001)]
    asked = []

    def read(before, limit):
        asked.append((before, limit))
        found = [each for each in reversed(lines) if before is None or each.seq < before][:limit]
        return tuple(found), found[-1].seq if found and found[-1].seq > 1 else 0

    tally = Tally()
    recent, complete = tally.recent("*", NOW, read)
    assert (len(recent), complete) == (1000, True)
    assert asked == [(None, STEP), (501, STEP)]
    lines.append(denial(1001, NOW))
    assert tally.recent("*", NOW, read)[0][-1] == (NOW, False)
    assert len(asked) == 3
    assert len(tally.recent("other", NOW, read)[0]) == 1001
    assert tally.recent("*", NOW + 25 * HOUR, read)[0] == []


# Policy -------------------------------------------------------------------------------------------------------------

RULE = f'[[rule]]\nname = "r"\nmrenclave = "{HEX}"\ntrust_domains = ["simulated"]\nrelease = "model/m/1"\n'


def policy(version, text, state="in force", **changes):
    values = {"tenant": "default", "version": version, "digest": "d", "author": "ada", "created_ms": NOW,
              "state": state, "text": text}  # fmt: skip
    return PolicyFact(**values | changes)


def test_a_version_tells_its_rules_and_what_it_changed():
    old, new = policy(1, "version = 1\n", "replaced"), policy(2, "version = 1\n" + RULE)
    view = policy_views.version(new, old, NOW)
    assert view.rules[0].name == "r"
    assert view.rules[0].careful >= 1
    assert "is new" in view.wider[0].sentence
    assert view.narrower == ()
    assert [line.kind for line in view.lines if line.kind == "added"]
    assert policy_views.in_force([new, old]) is new
    assert policy_views.before([new, old], new) is old
    assert policy_views.proposals([policy(3, "", "proposed"), new]) != ()


def test_a_policy_that_cannot_be_read_is_shown_with_why():
    view = policy_views.version(policy(1, "nonsense ="), None, NOW)
    assert view.problem
    assert view.rules == ()


def test_a_long_difference_is_cut():
    found = policy_views.compared("", "\n".join(map(str, range(1000))))
    assert len(found) == policy_views.MAX_DIFF_LINES + 1
    assert "more lines" in found[-1].text


def test_a_line_that_begins_with_dashes_is_no_head_of_a_difference():
    assert [line.text for line in policy_views.compared("a\n-- b\n", "a\n") if line.kind == "removed"] == ["-- b"]
    assert [line.text for line in policy_views.compared("a\n", "a\n++ b\n") if line.kind == "added"] == ["++ b"]


def test_votes_that_are_missing_are_counted():
    view = policy_views.version(policy(3, "", "proposed", votes=("k1",), votes_needed=2), None, NOW)
    assert view.votes_missing == 1


# The walk -----------------------------------------------------------------------------------------------------------


def test_a_walk_that_finds_a_fault_says_it():
    def verify(progress):
        progress(3, 10)
        raise LineChanged("ledger line 4 was changed")

    walk = LedgerCheck(verify)
    assert ledger_views.check(walk.last, NOW) is None
    walk.start(by="ada", now_ms=NOW)
    walk.wait()
    view = ledger_views.check(walk.last, NOW)
    assert (view.title, view.tone, view.code) == ("The ledger does not hold", Tone.BAD, LineChanged.code)
    assert view.percent == 30


def test_a_walk_that_breaks_does_not_run_for_ever(caplog):
    def verify(progress):
        raise ZeroDivisionError

    walk = LedgerCheck(verify)
    walk.start(by="ada", now_ms=NOW)
    walk.wait()
    assert not walk.last.running
    assert walk.last.code == "SR-DEFECT"
    assert "ZeroDivisionError" in caplog.text


def test_a_second_press_joins_the_walk_that_runs():
    import threading

    go, began = threading.Event(), threading.Event()

    def verify(progress):
        progress(1, 4)
        began.set()
        go.wait(60)
        raise LineChanged("x")

    walk = LedgerCheck(verify)
    walk.start(by="ada", now_ms=NOW)
    began.wait(60)
    assert walk.start(by="grace", now_ms=NOW).by == "ada"
    assert ledger_views.check(walk.last, NOW).running
    assert "1 of 4" in ledger_views.check(walk.last, NOW).text
    first = walk.last.mark
    go.set()
    walk.wait()
    assert walk.last.mark != first
    assert walk.start(by="grace", now_ms=NOW).number == 2
    walk.wait()
