"""When to renew, when to alarm, when it is over: arithmetic on windows, with the owner's rules."""

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.collateral.api import Kind
from strongroom.collateral.freshness import BadFreshness, Freshness, Span, Standing

ISSUED = datetime(2025, 6, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
WIDE = Freshness(max_age=timedelta(days=365))


def span(kind: Kind = Kind.TCB, days: float = 30) -> Span:
    return Span(kind=kind, issued=ISSUED, until=ISSUED + timedelta(days=days))


def standing(share: float, rules: Freshness = WIDE) -> Standing:
    return span().standing(rules, ISSUED + MONTH * share)


def test_tcb_14_it_is_renewed_at_half_and_alarms_at_nine_tenths_of_its_window():
    assert standing(0.49) is Standing.CURRENT
    assert standing(0.51) is Standing.DUE
    assert standing(0.89) is Standing.DUE
    assert standing(0.90) is Standing.ALARM
    assert standing(1.0) is Standing.ALARM, "both ends belong to the window"
    assert standing(1.001) is Standing.ENDED
    assert standing(-0.001) is Standing.FUTURE


def test_jitter_renews_earlier_never_later():
    plain, early = span().refresh_at(WIDE), span().refresh_at(WIDE, jitter=1.0)
    assert plain == ISSUED + MONTH / 2
    assert early == ISSUED + MONTH * 0.4


def test_tcb_09_a_maximum_age_ends_it_before_its_next_update():
    week = Freshness()
    assert span().end(week) == ISSUED + timedelta(days=7)
    assert span().standing(week, ISSUED + timedelta(days=8)) is Standing.ENDED
    assert span().standing(Freshness(max_age=timedelta(days=9)), ISSUED + timedelta(days=8)) is not Standing.ENDED
    assert span(days=3).end(week) == ISSUED + timedelta(days=3)


def test_the_roots_list_is_renewed_yearly_and_has_no_maximum_age():
    assert span(Kind.ROOT_CRL, days=365).end(Freshness()) == ISSUED + timedelta(days=365)


def test_tcb_10_a_grace_is_explicit_and_ends():
    rules = Freshness(max_age=timedelta(days=365), grace=timedelta(days=1))
    end = ISSUED + MONTH
    assert span().standing(rules, end + timedelta(hours=23)) is Standing.GRACE
    assert span().standing(rules, end + timedelta(hours=25)) is Standing.ENDED
    assert span().standing(WIDE, end + timedelta(seconds=1)) is Standing.ENDED, "the default is no grace"


@pytest.mark.parametrize(
    "rules",
    [
        {"max_age": timedelta(0)},
        {"max_age": timedelta(days=-1)},
        {"grace": timedelta(seconds=-1)},
        {"grace": timedelta(days=31)},
        {"min_eval_num": -1},
    ],
)
def test_rules_out_of_range_are_refused(rules):
    with pytest.raises(BadFreshness) as refused:
        Freshness(**rules)
    assert refused.value.code == "SR-COLLATERAL-RULES"
