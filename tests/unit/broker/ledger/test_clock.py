"""The clock guard: what a host does to the clock stops releases, and a time service's work does not."""

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.broker.clock import ClockGuard, ClockLimits, ClockUntrusted, since_boot, utc_now

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)


class Machine:
    """Two clocks: time passes on both, a host sets one."""

    def __init__(self):
        self.wall = START
        self.up = 1000.0

    def pass_time(self, seconds, *, drift=0.0):
        self.up += seconds
        self.wall += timedelta(seconds=seconds * (1 + drift))

    @property
    def ms(self):
        return int(self.wall.timestamp() * 1000)

    def guard(self, **options):
        return ClockGuard(lambda: self.wall, lambda: self.up, **options)


@pytest.fixture
def machine():
    return Machine()


def refused(guard, **options):
    with pytest.raises(ClockUntrusted) as refusal:
        guard.check(**options)
    assert refusal.value.code == "SR-CLOCK-UNTRUSTED"
    return refusal.value.sentence


@pytest.mark.parametrize("step", [HOUR, -HOUR, YEAR, -YEAR], ids=["+1h", "-1h", "+1y", "-1y"])
def test_sa_15_a_step_of_the_clock_stops_releases_and_is_told_once(machine, step):
    guard = machine.guard()
    assert guard.check() == START
    machine.wall += step
    for _ in range(5):
        sentence = refused(guard)
        machine.pass_time(10)
    assert ("ahead of" if step > timedelta(0) else "behind") in sentence
    assert [news["state"] for news in guard.news] == ["untrusted"]


def test_sa_15_a_step_away_and_back_is_believed_only_after_a_minute_of_agreement(machine):
    guard = machine.guard()
    machine.wall += HOUR
    refused(guard)
    machine.wall -= HOUR
    machine.pass_time(600)
    refused(guard)  # the first time that it is seen to agree
    machine.pass_time(59)
    refused(guard)
    machine.pass_time(2)
    assert guard.check() == machine.wall
    assert [news["state"] for news in guard.news] == ["untrusted", "trusted"]
    guard.told(1)
    assert [news["state"] for news in guard.news] == ["trusted"]


def test_sa_15_a_relapse_begins_the_minute_again(machine):
    guard = machine.guard()
    machine.wall += HOUR
    for _ in range(3):
        refused(guard)
        machine.wall -= HOUR
        refused(guard)
        machine.pass_time(59)
        machine.wall += HOUR


@pytest.mark.parametrize("drift", [0.01, -0.01])
def test_sa_15_a_fast_drift_is_a_step_in_small_pieces(machine, drift):
    guard = machine.guard()
    for _ in range(50):
        machine.pass_time(10, drift=drift)
        guard.check()
    for _ in range(10):
        machine.pass_time(10, drift=drift)
    refused(guard)


@pytest.mark.parametrize("drift", [0.0005, -0.0005])
def test_what_a_time_service_slews_is_believed_for_months(machine, drift):
    guard = machine.guard()
    for _ in range(10_000):
        machine.pass_time(600, drift=drift)
        guard.check(machine.ms)


def test_sa_15_small_steps_do_not_add_up_unseen(machine):
    guard = machine.guard()
    machine.wall += timedelta(seconds=4)
    guard.check()
    machine.pass_time(10)
    machine.wall += timedelta(seconds=4)
    refused(guard)


def test_sa_15_another_time_than_the_stores_stops_releases(machine):
    guard = machine.guard()
    guard.check(machine.ms + 29_000)
    assert "behind the store" in refused(guard, store_ms=machine.ms + 31_000)
    machine.pass_time(120)
    refused(guard)  # nobody asked the store since
    guard.observe(machine.ms)
    machine.pass_time(61)
    assert guard.check(machine.ms) == machine.wall


def test_sa_15_a_clock_set_back_before_the_start_shows_against_the_ledgers_last_line(machine):
    guard = machine.guard(not_before_ms=machine.ms + 3_600_000)
    assert "the ledger's last line" in refused(guard)
    machine.pass_time(3600)
    refused(guard)
    machine.pass_time(61)
    guard.check()


def test_sa_15_while_the_clock_is_wrong_times_are_those_it_should_say(machine):
    guard = machine.guard()
    right = machine.ms
    machine.wall += YEAR
    assert guard.plausible_ms(machine.ms) == right
    machine.wall -= YEAR
    assert guard.plausible_ms(machine.ms + 4000) == right + 4000


def test_limits_can_be_chosen(machine):
    guard = machine.guard(limits=ClockLimits(step_s=7200, settle_s=0))
    machine.wall += HOUR
    guard.check()


def test_the_machines_own_clocks_agree():
    guard = ClockGuard()
    assert abs((guard.check() - utc_now()).total_seconds()) < 5
    assert since_boot() <= since_boot()
