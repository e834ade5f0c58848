"""Floods of challenges: tables of nonces stay bounded, and no nonce ever counts twice."""

import pytest

from strongroom.broker import kbs_sessions
from strongroom.broker.store.opening import open_store
from strongroom.broker.store.postgresql import PostgresStore
from strongroom.broker.store.rates import sweep

HOUR_MS = 3_600_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    location = tmp_path / "broker.db" if request.param == "sqlite" else request.getfixturevalue("postgres").url
    opened = open_store(location)
    yield opened
    opened.close()


def opened_at_once(tx, count, later_ms=0):
    """Open sessions until there is no more room; return them."""
    tx.now_ms += later_ms
    found = []
    try:
        for _ in range(count):
            cookie = kbs_sessions.new_cookie()
            found.append(kbs_sessions.open_session(tx, cookie, "sgx", negotiated=False))
    except kbs_sessions.KbsSessionsFull:
        pass
    return found


def opened_by_others(tx, rows):
    """Fill the table with sessions of others, at once: one by one takes a server ten seconds."""
    tx.execute(
        "INSERT INTO sessions (id, nonce, tee, state, created_ms, expires_ms, body) "
        "SELECT 'id-' || i, 'nonce-' || i, 'sgx', 'authed', ?, ?, ? FROM generate_series(1, ?) AS i",
        (tx.now_ms, tx.now_ms + kbs_sessions.SESSION_MS, b"{}", rows),
    )
    return [f"nonce-{i}" for i in range(1, rows + 1)]


def count(store):
    return store.read(lambda tx: tx.execute("SELECT count(*) FROM sessions"))[0][0]


def test_sv_14_a_hundred_thousand_challenges_leave_a_bounded_table_and_no_nonce_counts_twice(store):
    first = store.write(lambda tx: opened_at_once(tx, 1))[0]
    assert store.write(lambda tx: kbs_sessions.burn(tx, first.id, first.nonce)) is None
    given = [first.nonce]
    if isinstance(store, PostgresStore):
        given += store.write(lambda tx: opened_by_others(tx, kbs_sessions.MAX_SESSIONS - 5000))
    for _ in range(10):
        given += [each.nonce for each in store.write(lambda tx: opened_at_once(tx, 10_000))]
    assert count(store) == len(given) == kbs_sessions.MAX_SESSIONS
    assert len(set(given)) == len(given)
    # What is still good was not thrown out for those who came later, and what was used up stays used up.
    assert isinstance(store.write(lambda tx: kbs_sessions.burn(tx, first.id, first.nonce)), kbs_sessions.KbsNonceUsed)
    store.write(lambda tx: setattr(tx, "now_ms", tx.now_ms + HOUR_MS) or sweep(tx, rows=100_000))
    assert count(store) == 0
    gone = store.write(lambda tx: kbs_sessions.burn(tx, first.id, first.nonce))
    assert isinstance(gone, kbs_sessions.KbsSessionAbsent)
    assert len(store.write(lambda tx: opened_at_once(tx, 10))) == 10
