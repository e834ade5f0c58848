"""Several sources, a cache, a clock: what is used, what is passed over, what is refused, and what is remembered.

The simulated world signs collateral of any date and number; mirrors of it are folders, servers are on loopback.
"""

import json
import logging
from datetime import timedelta

import pytest

from strongroom.attestation import INTEL, EvidenceRefused, Tee, parse_quote, verify
from strongroom.collateral import ClockBehind, CollateralRollback, CollateralTooOld, CollateralUnavailable, LiveSource
from strongroom.collateral.cache import Cache
from strongroom.collateral.client import HttpSource, SourceFailed
from strongroom.collateral.file_source import FileSource
from strongroom.collateral.freshness import Freshness
from strongroom.collateral.gather import Choice, Platform
from strongroom.collateral.opening import GraceUnrecorded, audit_file
from strongroom.collateral.profiles import pccs
from strongroom.collateral.seen import Seen
from strongroom.errors import StrongroomError
from strongroom.platforms.simulated import EnclaveIdentity

MONTH = Freshness(max_age=timedelta(days=40))


class Down:
    """A source that fails as it is told, and counts how often it was asked."""

    name = "down"

    def __init__(self, status: int | None = None) -> None:
        self.status = status
        self.asked = 0

    def answer(self, request):
        self.asked += 1
        raise SourceFailed("down answers nothing", status=self.status)


class Counting:
    """Passes on to another source and counts."""

    def __init__(self, inner) -> None:
        self.inner = inner
        self.asked: list[str] = []

    @property
    def name(self) -> str:
        return self.inner.name

    def answer(self, request):
        self.asked.append(request.path_and_query())
        return self.inner.answer(request)


@pytest.fixture
def live(world_anchor, clock, tmp_path):
    """Return a maker of sources over one cache folder, as a restarted process would open it."""

    def make(*sources, rules=MONTH, cache="cache", **more) -> LiveSource:
        store = Cache(tmp_path / cache)
        return LiveSource(
            sources, anchors=[world_anchor], rules=rules, store=store, seen=Seen(store.folder),
            audit=audit_file(store.folder), clock=clock, **more,
        )  # fmt: skip

    return make


def test_what_it_finds_verifies_and_is_one_object_as_long_as_it_is_current(live, publish, world_quote, world_anchor):
    source = live(FileSource(publish()))
    found = source.collateral_for(world_quote)
    assert source.collateral_for(world_quote) is found


def test_a_second_process_asks_nobody(live, publish, world_quote):
    first = live(FileSource(publish())).collateral_for(world_quote)
    down = Down()
    assert live(down).collateral_for(world_quote) == first
    assert down.asked == 0


def test_real_quotes_are_served_from_recorded_replies(server, sgx_quote, tdx_quote, recorded_clock, shared_vectors):
    source = LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=MONTH, clock=recorded_clock)
    raw = (shared_vectors / "dcap" / "quotes" / "real-sgx-v3-0b5bc73c-2025-05-27.bin").read_bytes()
    verdict = verify(raw, source.collateral_for(sgx_quote), anchors=[INTEL], at=recorded_clock())
    assert verdict.tcb_eval == 17
    assert '"id":"TDX"' in source.collateral_for(tdx_quote).tcb_info
    asked = len(server.asked)
    source.collateral_for(sgx_quote)
    assert len(server.asked) == asked


def test_tcb_12_early_and_standard_are_chosen_explicitly(server, sgx_quote, recorded_clock):
    def number(choice: Choice) -> int:
        source = LiveSource(
            [HttpSource(pccs(server.url))], anchors=[INTEL], rules=MONTH, choice=choice, clock=recorded_clock
        )
        return json.loads(source.collateral_for(sgx_quote).tcb_info)["tcbEvaluationDataNumber"]

    assert number(Choice()) == 17
    assert number(Choice(update="early")) == 19


def test_one_evaluation_number_can_be_asked_for_and_nothing_else_is_taken(server, tdx_quote, recorded_clock, recorded):
    source = LiveSource([HttpSource(pccs(server.url))], anchors=[INTEL], rules=MONTH, choice=Choice(number=17),
                        clock=recorded_clock)  # fmt: skip
    assert '"tcbEvaluationDataNumber":17' in source.collateral_for(tdx_quote).tcb_info
    server.replies["/tdx/certification/v4/tcb?fmspc=00806F050000&tcbEvaluationDataNumber=16"] = recorded[
        "/tdx/certification/v4/tcb?fmspc=00806F050000"
    ]
    other = LiveSource([HttpSource(pccs(server.url), pause=lambda _: None)], anchors=[INTEL], rules=MONTH,
                       choice=Choice(number=16), clock=recorded_clock)  # fmt: skip
    with pytest.raises(CollateralUnavailable, match="asked for evaluation number 16, got 17"):
        other.collateral_for(tdx_quote)


# --- what a source may not do to us ---


def served(server, recorded_clock, quote):
    source = LiveSource(
        [HttpSource(pccs(server.url), pause=lambda _: None)], anchors=[INTEL], rules=MONTH, clock=recorded_clock
    )
    return source.collateral_for(quote)


TCB_TARGET = "/sgx/certification/v4/tcb?fmspc=00906ED50000"


@pytest.mark.parametrize("old", [b"OutOfDate", b'"svn":'])
def test_sc_08_a_changed_byte_does_not_get_in(server, recorded, recorded_clock, sgx_quote, old):
    status, headers, body = recorded[TCB_TARGET]
    server.replies[TCB_TARGET] = (
        status,
        headers,
        body.replace(old, old[:-1] + b" " if old[-1:] != b":" else b'"svn": '),
    )
    with pytest.raises(CollateralUnavailable, match="TCB Signing' signed"):
        served(server, recorded_clock, sgx_quote)


def test_sc_07_a_signer_of_another_role_does_not_get_in(server, recorded, recorded_clock, sgx_quote):
    status, _, body = recorded[TCB_TARGET]
    crl_chain = recorded["/sgx/certification/v4/pckcrl?ca=processor"][1]["SGX-PCK-CRL-Issuer-Chain"]
    server.replies[TCB_TARGET] = (status, {"TCB-Info-Issuer-Chain": crl_chain}, body)
    with pytest.raises(CollateralUnavailable, match="PCK Processor CA"):
        served(server, recorded_clock, sgx_quote)


@pytest.mark.parametrize(
    "case",
    [
        (TCB_TARGET, "/tdx/certification/v4/tcb?fmspc=00806F050000", "got that of TDX 00806F050000"),
        ("/sgx/certification/v4/qe/identity", "/tdx/certification/v4/qe/identity", "got 'TD_QE'"),
        ("/sgx/certification/v4/qe/identity", "/sgx/certification/v4/qve/identity", "got 'QVE'"),
        ("/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
         "/sgx/certification/v4/pckcrl?ca=platform&encoding=der", "PCK CA is named"),
    ],
)  # fmt: skip
def test_sc_09_an_answer_to_another_question_does_not_get_in(server, recorded, recorded_clock, sgx_quote, case):
    target, swapped, words = case
    server.replies[target] = recorded[swapped]
    with pytest.raises(CollateralUnavailable, match=words):
        served(server, recorded_clock, sgx_quote)


def test_sc_11_a_missing_or_wrong_root_list_stops_everything(server, recorded, recorded_clock, sgx_quote):
    target = "/sgx/certification/v4/rootcacrl"
    server.replies[target] = recorded["/sgx/certification/v4/pckcrl?ca=processor&encoding=der"]
    with pytest.raises(CollateralUnavailable, match="signed by none of the root keys trusted here"):
        served(server, recorded_clock, sgx_quote)
    del server.replies[target]
    with pytest.raises(CollateralUnavailable, match="rootcacrl"):
        served(server, recorded_clock, sgx_quote)


def test_for_a_quote_below_no_anchor_nobody_is_asked(world_quote, clock):
    down = Down()
    with pytest.raises(EvidenceRefused) as refused:
        LiveSource([down], anchors=[INTEL], clock=clock).collateral_for(world_quote)
    assert refused.value.reason == "SIMULATED_EVIDENCE"
    assert down.asked == 0


# --- several sources ---


def test_tcb_10_a_stale_mirror_is_passed_over_for_another(live, publish, world_quote, clock):
    stale = FileSource(publish("stale", at=clock() - timedelta(days=35)))
    fresh = FileSource(publish("fresh"))
    source = live(stale, fresh)
    source.collateral_for(world_quote)
    assert {part.source for part in source.parts() if part.checked.subject != "root CRL"} == {fresh.name}


def test_tcb_10_when_all_are_stale_it_is_refused_and_each_is_named(live, publish, world_quote, clock):
    stale = [FileSource(publish(name, at=clock() - timedelta(days=35))) for name in ("one", "two")]
    with pytest.raises(CollateralTooOld) as refused:
        live(Down(), *stale).collateral_for(world_quote)
    assert refused.value.code == "SR-COLLATERAL-TOO-OLD"
    for name in ("down: answers nothing", stale[0].name, stale[1].name, "served until"):
        assert name in refused.value.sentence


def test_tcb_12_when_nobody_answers_it_fails_closed(live, world_quote):
    with pytest.raises(CollateralUnavailable, match="down: answers nothing"):
        live(Down(), Down(404)).collateral_for(world_quote)
    with pytest.raises(CollateralUnavailable, match="none is configured"):
        live().collateral_for(world_quote)


@pytest.mark.parametrize(("status", "seconds"), [(404, 300), (410, 300), (None, 15), (500, 15)])
def test_tcb_12_a_failure_is_believed_for_a_short_while_only(live, world_quote, clock, status, seconds):
    down = Down(status)
    source = live(down)
    for turn, asked in ((0, 1), (seconds - 1, 1), (2, 2)):
        clock.turn(seconds=turn)
        with pytest.raises(CollateralUnavailable):
            source.collateral_for(world_quote)
        assert down.asked == asked


def test_tcb_12_a_failure_from_before_a_clock_jumped_back_is_not_believed(live, world_quote, clock):
    down = Down(404)
    source = live(down)
    for _ in range(2):
        with pytest.raises(CollateralUnavailable):
            source.collateral_for(world_quote)
        clock.turn(hours=-1)
    assert down.asked == 2


def test_a_source_that_is_down_delays_one_part_and_is_asked_again_after_a_minute(live, publish, world_quote, clock):
    down, mirror = Down(), Counting(FileSource(publish()))
    source = live(down, mirror)
    source.collateral_for(world_quote)
    assert (down.asked, len(mirror.asked)) == (1, 4)
    clock.turn(days=31)
    publish(at=clock(), number=18)
    source.collateral_for(world_quote)
    assert down.asked == 2


def test_a_closed_source_serves_what_it_holds(live, publish, world_quote):
    source = live(HttpSource(pccs("http://127.0.0.1:1"), pause=lambda _: None), FileSource(publish()))
    found = source.collateral_for(world_quote)
    source.close()
    assert source.collateral_for(world_quote) is found


def test_sources_that_answer_keep_their_order_though_they_know_nothing(live, publish, world_quote):
    ignorant = Down(404)
    live(ignorant, FileSource(publish())).collateral_for(world_quote)
    assert ignorant.asked == 4


# --- age, numbers, clocks ---


def test_tcb_09_a_cache_older_than_the_maximum_age_is_not_used_though_in_date(live, publish, world_quote, clock):
    mirror = FileSource(publish())
    week = Freshness()
    live(mirror, rules=week).collateral_for(world_quote)
    clock.turn(days=6.9)
    live(Down(), rules=week).collateral_for(world_quote)
    clock.turn(days=0.2)
    with pytest.raises(CollateralUnavailable):
        live(Down(), rules=week).collateral_for(world_quote)
    with pytest.raises(CollateralTooOld):
        live(mirror, rules=week).collateral_for(world_quote)
    live(mirror, rules=Freshness(max_age=timedelta(days=9))).collateral_for(world_quote)


def test_tcb_08_a_lower_evaluation_number_is_refused_and_a_restart_remembers(live, publish, world_quote, clock):
    live(FileSource(publish("new", number=19))).collateral_for(world_quote)
    clock.turn(days=31)  # what is cached has ended, so that somebody has to be asked
    old = FileSource(publish("old", number=17, at=clock()))
    with pytest.raises(CollateralRollback) as refused:
        live(old).collateral_for(world_quote)
    assert refused.value.code == "SR-COLLATERAL-ROLLBACK"
    assert "has the number 17, seen was 19" in refused.value.sentence
    newer = FileSource(publish("newer", number=20, at=clock()))
    live(old, newer).collateral_for(world_quote)


def test_tcb_08_a_cache_file_that_was_rolled_back_is_not_used(live, publish, world_quote, clock, tmp_path):
    source = live(FileSource(publish("new", number=17)))
    source.collateral_for(world_quote)
    entries = tmp_path / "cache" / "entries"
    kept = {path.name: path.read_bytes() for path in entries.iterdir()}
    clock.turn(days=31)
    live(FileSource(publish("newer", number=19, at=clock()))).collateral_for(world_quote)
    for name, content in kept.items():
        (entries / name).write_bytes(content)
    clock.turn(days=-1)
    with pytest.raises(ClockBehind):
        live(Down()).collateral_for(world_quote)
    clock.turn(days=1)
    with pytest.raises(CollateralUnavailable):
        live(Down()).collateral_for(world_quote)


def test_tcb_08_an_older_revocation_list_is_refused_even_with_the_same_number(live, publish, world_quote, clock):
    live(FileSource(publish("new", at=clock()))).collateral_for(world_quote)
    older = FileSource(publish("older", at=clock() - timedelta(days=2), number=17))
    live_again = live(older)
    for path in (live_again._store.folder / "entries").iterdir():
        path.unlink()
    with pytest.raises(CollateralRollback, match="CRL is of"):
        live_again.collateral_for(world_quote)


def test_tcb_08_numbers_below_the_owners_minimum_are_refused(live, publish, world_quote):
    mirror = FileSource(publish(number=17))
    live(mirror, rules=Freshness(min_eval_num=17)).collateral_for(world_quote)
    with pytest.raises(CollateralTooOld, match="at least 18 is wanted"):
        live(mirror, rules=Freshness(min_eval_num=18)).collateral_for(world_quote)


def test_sa_15_a_clock_that_jumped_back_is_noticed_by_what_was_signed(live, publish, world_quote, clock):
    mirror = FileSource(publish())
    source = live(mirror)
    source.collateral_for(world_quote)
    clock.turn(hours=-1)
    for each in (source, live(mirror)):
        with pytest.raises(ClockBehind) as refused:
            each.collateral_for(world_quote)
    assert refused.value.code == "SR-CLOCK-BEHIND"
    clock.turn(hours=1)
    source.collateral_for(world_quote)


def test_sa_15_a_clock_far_behind_is_noticed_with_an_empty_cache_too(live, publish, world_quote, clock):
    mirror = FileSource(publish())
    clock.turn(days=-365)
    with pytest.raises(ClockBehind, match="was signed at"):
        live(mirror).collateral_for(world_quote)


def test_sa_15_a_clock_that_jumped_forward_ends_the_cache_and_poisons_nothing(live, publish, world_quote, clock):
    source = live(FileSource(publish()))
    source.collateral_for(world_quote)
    clock.turn(days=365)
    with pytest.raises(CollateralTooOld):
        source.collateral_for(world_quote)
    clock.turn(days=-365)
    clock.turn(minutes=1)  # what failed in the future is not believed now
    source.collateral_for(world_quote)


# --- grace ---


def audit_lines(tmp_path) -> list[dict]:
    path = tmp_path / "cache" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


GRACE = Freshness(max_age=timedelta(days=40), grace=timedelta(days=3))


def test_tcb_10_expired_collateral_is_refused_without_a_grace(live, publish, world_quote, clock, tmp_path):
    live(FileSource(publish())).collateral_for(world_quote)
    clock.turn(days=31)
    with pytest.raises(CollateralUnavailable):
        live(Down()).collateral_for(world_quote)
    assert audit_lines(tmp_path) == []


@pytest.fixture
def in_grace(live, publish, world_quote, clock) -> LiveSource:
    """Return a source whose cache ended a day ago, whose servers are down, and whose owner allows a grace."""
    live(FileSource(publish())).collateral_for(world_quote)
    clock.turn(days=31)
    return live(Down(), rules=GRACE)


def test_tcb_11_each_use_of_the_grace_leaves_a_record(in_grace, world_quote, tmp_path, caplog):
    source = in_grace
    for uses in (1, 2, 3):
        source.collateral_for(world_quote)
        assert len(audit_lines(tmp_path)) == uses
    (first, *_) = audit_lines(tmp_path)
    assert first["event"] == "collateral-grace"
    assert {part["what"].split()[0] for part in first["parts"]} == {"TCB", "identity", "PCK"}
    assert "collateral in grace" in caplog.text
    assert (tmp_path / "cache" / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_tcb_11_without_a_record_nothing_is_used(in_grace, world_quote, tmp_path):
    (tmp_path / "cache" / "audit.jsonl").mkdir()
    with pytest.raises(GraceUnrecorded, match="audit"):
        in_grace.collateral_for(world_quote)


def test_tcb_10_a_fresh_source_is_preferred_to_the_grace_and_the_grace_ends(
    live, publish, world_quote, clock, tmp_path
):
    live(FileSource(publish())).collateral_for(world_quote)
    clock.turn(days=31)
    live(FileSource(publish("fresh", at=clock())), rules=GRACE, cache="other").collateral_for(world_quote)
    assert audit_lines(tmp_path) == []
    clock.turn(days=3)
    with pytest.raises(CollateralUnavailable):
        live(Down(), rules=GRACE).collateral_for(world_quote)


def test_tcb_10_a_stale_answer_serves_within_the_grace_when_nothing_is_cached(
    live, publish, world_quote, clock, tmp_path
):
    stale = FileSource(publish("stale", at=clock() - timedelta(days=31)))
    source = live(stale, rules=GRACE)
    source.collateral_for(world_quote)
    assert len(audit_lines(tmp_path)) == 1


# --- renewal ---


def test_tcb_14_at_half_of_the_window_it_is_renewed_in_the_background(live, publish, world_quote, clock):
    mirror = Counting(FileSource(publish()))
    source = live(mirror)
    before = source.collateral_for(world_quote)
    first = len(mirror.asked)
    clock.turn(days=14.9)
    due = source.refresh()
    assert len(mirror.asked) == first
    assert due == clock() + timedelta(days=0.1)
    clock.turn(days=0.5)
    publish(at=clock(), number=18)
    source.refresh()
    assert len(mirror.asked) == first + 3, "all but the root's list"
    assert source.collateral_for(world_quote) != before


def test_a_renewal_that_fails_keeps_what_serves_and_alarms_late_in_the_window(
    live, publish, world_quote, clock, caplog
):
    mirror = publish()
    source = live(FileSource(mirror))
    found = source.collateral_for(world_quote)
    for path in mirror.iterdir():
        path.unlink()
    clock.turn(days=16)
    source.refresh()
    levels = {record.levelno for record in caplog.records if record.levelno > logging.INFO}
    assert levels == {logging.WARNING}
    clock.turn(days=12)
    source.refresh()
    assert logging.ERROR in {record.levelno for record in caplog.records}
    assert source.collateral_for(world_quote) is found


def test_renewals_of_what_does_not_change_are_an_hour_apart(live, publish, world_quote, clock):
    mirror = Counting(FileSource(publish()))
    source = live(mirror)
    source.collateral_for(world_quote)
    clock.turn(days=16)
    source.refresh()
    asked = len(mirror.asked)
    clock.turn(minutes=59)
    source.refresh()
    assert len(mirror.asked) == asked
    clock.turn(minutes=2)
    source.refresh()
    assert len(mirror.asked) > asked


def test_a_platform_that_nobody_knows_is_not_asked_for_again_at_each_wake(live, world_quote, clock):
    down = Down(404)
    source = live(down)
    with pytest.raises(CollateralUnavailable):
        source.collateral_for(world_quote)
    for _ in range(5):
        source.refresh()
        clock.turn(minutes=1)
    assert down.asked == 2


def test_what_another_process_renewed_is_used_without_asking(live, publish, world_quote, clock):
    mirror = publish()
    ours, theirs = live(FileSource(mirror)), live(FileSource(mirror))
    before = ours.collateral_for(world_quote)
    theirs.collateral_for(world_quote)
    clock.turn(days=16)
    publish(at=clock(), number=18)
    theirs.refresh()
    after = ours.collateral_for(world_quote)
    assert after != before
    assert after == theirs.collateral_for(world_quote)


def test_a_platform_can_be_named_without_a_quote(live, publish, world):
    found = live(FileSource(publish())).collateral_of(Platform(tee=Tee.SGX, fmspc=world.fmspc, ca=world.hardware.ca))
    assert world.fmspc in found.tcb_info


# --- to the second, together with the verifier ---


@pytest.fixture
def outcome(world, world_anchor, clock):
    """Return a function that says what becomes of a quote now: verified, excused, or the code of the refusal."""
    identity = EnclaveIdentity(mr_enclave=bytes(32), mr_signer=world.mr_signer, isv_prod_id=0, isv_svn=0)
    raw = world.quote(identity, bytes(64))

    def decide(source: LiveSource) -> str:
        try:
            found = source.collateral_for(parse_quote(raw))
            verdict = verify(raw, found, anchors=[world_anchor], at=clock(), collateral_grace=source.rules.grace)
        except StrongroomError as problem:
            return problem.code
        return "excused" if verdict.in_grace else "verified"

    return decide


@pytest.mark.parametrize(
    "case",
    [
        ({"seconds": -1}, 0, "verified"),
        ({}, 0, "verified"),
        ({"microseconds": 1}, 0, "SR-COLLATERAL-UNAVAILABLE"),
        ({"seconds": 1}, 1, "excused"),
        ({"hours": 1}, 1, "excused"),
        ({"hours": 1, "microseconds": 1}, 1, "SR-COLLATERAL-UNAVAILABLE"),
    ],
)
def test_tcb_10_source_and_verifier_agree_where_time_and_grace_end(live, publish, clock, outcome, case):
    late, grace, wanted = case
    rules = Freshness(max_age=timedelta(days=400), grace=timedelta(hours=grace))
    assert outcome(live(FileSource(publish(at=clock())), rules=rules)) == "verified"
    clock.turn(days=30)
    clock.turn(**late)
    assert outcome(live(Down(), rules=rules)) == wanted


@pytest.mark.parametrize("case", [(-1, "SR-CLOCK-BEHIND"), (1, "verified"), (-1 / 3600, "SR-CLOCK-BEHIND")])
def test_sa_15_a_clock_put_back_or_forward_is_judged_by_what_was_signed(live, publish, clock, outcome, case):
    hours, wanted = case
    source = live(FileSource(publish(at=clock())))
    assert outcome(source) == "verified"
    clock.turn(hours=hours)
    assert outcome(source) == wanted
    clock.turn(hours=-hours, seconds=16)  # a failure is believed that long
    assert outcome(source) == "verified"
