"""One suite for both stores: what was returned is durable, what was raised left nothing, and times are one clock's."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from strongroom.broker.store import rates, schema
from strongroom.broker.store.errors import StoreConflict, StoreUnavailable
from strongroom.broker.store.opening import open_store
from strongroom.errors import Refused

INSERT = "INSERT INTO rates (bucket, window_ms, spent) VALUES (?, ?, ?)"


class NoThankYou(Refused):
    """An operation refuses."""


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    if request.param == "sqlite":
        return tmp_path / "broker.db"
    return request.getfixturevalue("postgres").url


@pytest.fixture
def opened(location):
    stores = []

    def another():
        stores.append(open_store(location))
        return stores[-1]

    yield another
    for each in stores:
        each.close()


@pytest.fixture
def store(opened):
    return opened()


def put(name, number=1):
    return lambda tx: tx.execute(INSERT, (name, tx.now_ms, number))


def names(store):
    return [row[0] for row in store.read(lambda tx: tx.execute("SELECT bucket FROM rates ORDER BY bucket"))]


def test_a_write_returns_its_result_and_is_read_by_others(store, opened):
    def operation(tx):
        tx.execute(INSERT, ("a", 5, 7))
        return tx.execute("SELECT spent FROM rates WHERE bucket = ?", ("a",))

    assert store.write(operation) == [(7,)]
    assert names(opened()) == ["a"]


def test_values_come_back_as_they_went(store):
    line = bytes(range(256))
    big = 2**62

    def operation(tx):
        tx.execute("INSERT INTO ledger_lines (seq, line) VALUES (?, ?)", (big, line))
        tx.execute("INSERT INTO revocations (id, tenant, kind, value, reason, author, created_ms, lifted_ms)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?)", ("1", "t", "k", "v", "wie? 100 ä %", "", -1, None))  # fmt: skip

    store.write(operation)
    found = store.read(lambda tx: tx.execute("SELECT seq, line, length(line) FROM ledger_lines"))
    assert found == [(big, line, 256)]
    assert isinstance(found[0][1], bytes)
    assert store.read(lambda tx: tx.execute("SELECT reason, created_ms, lifted_ms FROM revocations")) == [
        ("wie? 100 ä %", -1, None)
    ]


def test_a_question_mark_or_a_percent_sign_inside_quotes_is_text(store):
    sql = "SELECT '?' , 'a''?%s', ? WHERE 5 % 3 = 2"
    assert store.read(lambda tx: tx.execute(sql, ("x",))) == [("?", "a'?%s", "x")]


def test_sums_and_truth_values_are_integers(store):
    store.write(put("a", number=True))
    store.write(put("b", 2))
    ((count, total, none),) = store.read(
        lambda tx: tx.execute("SELECT count(*), sum(spent), sum(spent) FILTER (WHERE spent > 9) FROM rates")
    )
    assert (count, total, none) == (2, 3, None)
    assert type(total) is int


def test_text_is_sorted_by_its_bytes(store):
    for name in ("b", "A", "ä", "a", "Z", "_"):
        store.write(put(name))
    assert names(store) == ["A", "Z", "_", "a", "b", "ä"]


def test_changed_rows_are_returned_where_they_are_asked_for(store):
    store.write(put("a"))
    changed = store.write(
        lambda tx: tx.execute("UPDATE rates SET spent = spent + 1 WHERE bucket = ? RETURNING spent", ("a",))
    )
    assert changed == [(2,)]
    assert store.write(lambda tx: tx.execute("DELETE FROM rates WHERE bucket = ?", ("a",))) == []
    assert names(store) == []


def test_an_operation_that_raises_leaves_nothing(store):
    def refuses(tx):
        put("a")(tx)
        raise NoThankYou("no")

    def breaks(tx):
        put("b")(tx)
        raise ZeroDivisionError

    for operation, error in ((refuses, NoThankYou), (breaks, ZeroDivisionError)):
        with pytest.raises(error):
            store.write(operation)
    store.write(put("c"))
    assert names(store) == ["c"]


def test_a_second_row_of_one_key_is_a_conflict(store):
    store.write(put("a"))
    with pytest.raises(StoreConflict) as refusal:
        store.write(put("a"))
    assert refusal.value.code == "SR-STORE-CONFLICT"
    assert names(store) == ["a"]


def test_an_operation_that_hides_a_database_error_fails_all_the_same(store):
    store.write(put("a"))

    def hides(tx):
        put("b")(tx)
        try:
            put("a")(tx)
        except StoreConflict:
            return "fine"

    with pytest.raises(StoreConflict):
        store.write(hides)
    assert names(store) == ["a"]


def together(store, operations):
    """Submit operations while another one holds the turn, so that they share a transaction."""
    begun, go_on = threading.Event(), threading.Event()

    def holds(tx):
        begun.set()
        go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(store.write, holds)
        assert begun.wait(60)
        futures = [store.submit(operation) for operation in operations]
        go_on.set()
        holding.result(60)
    return [future.exception(60) or future.result(60) for future in futures]


def test_operations_that_wait_share_a_transaction_and_its_memo(store):
    def remembers(tx):
        tx.memo["count"] = tx.memo.get("count", 0) + 1
        tx.before_commit("once", lambda: put(f"last-{tx.memo['count']}")(tx))
        tx.before_commit("once", lambda: put("never")(tx))
        return tx.memo["count"]

    assert together(store, [remembers] * 5) == [1, 2, 3, 4, 5]
    assert names(store) == ["last-5"]
    assert store.write(remembers) == 1


def test_a_failure_in_shared_company_is_its_own(store):
    def refuses_early(tx):
        raise NoThankYou("early")

    def fails_late(tx):
        put("half")(tx)
        raise ZeroDivisionError("late")

    def conflicts(tx):
        put("a")(tx)

    def misspelled(tx):
        tx.execute("SELEKT 1")

    company = [put("a"), refuses_early, put("b"), fails_late, conflicts, misspelled, put("c")]
    outcomes = together(store, company)
    assert names(store) == ["a", "b", "c"]
    assert [type(each).__name__ for each in outcomes[1:6]] == [
        "NoThankYou", "list", "ZeroDivisionError", "StoreConflict", type(outcomes[5]).__name__]  # fmt: skip
    assert isinstance(outcomes[5], Exception)
    assert outcomes[0] == outcomes[6] == []


def test_no_operation_runs_more_than_three_times_for_anothers_sake(store):
    runs = []

    def fails(tx):
        put("half")(tx)
        raise ZeroDivisionError

    def good(number):
        def operation(tx):
            runs.append(number)
            put(f"good-{number}")(tx)

        return operation

    together(store, [operation for number in range(20) for operation in (good(number), fails)])
    assert len(names(store)) == 20
    assert max(runs.count(number) for number in range(20)) <= 3


def test_what_fails_before_the_commit_fails_only_those_that_asked_for_it(store):
    def asks(tx):
        put("asked")(tx)
        tx.before_commit("breaks", lambda: 1 // 0)

    outcomes = together(store, [put("a"), asks, put("b")])
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert names(store) == ["a", "b"]


def test_many_threads_lose_nothing_and_see_every_number_once(store):
    def next_number(tx):
        ((last,),) = tx.execute("SELECT coalesce(max(seq), 0) FROM ledger_lines")
        tx.execute("INSERT INTO ledger_lines (seq, line) VALUES (?, ?)", (last + 1, b""))
        return last + 1

    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda _: store.write(next_number), range(200)))
    assert sorted(numbers) == list(range(1, 201))


def test_two_openings_of_one_store_take_turns(opened):
    one, two = opened(), opened()

    def next_number(tx):
        ((last,),) = tx.execute("SELECT coalesce(max(seq), 0) FROM ledger_lines")
        tx.execute("INSERT INTO ledger_lines (seq, line) VALUES (?, ?)", (last + 1, b""))
        return last + 1

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda each: (one, two)[each % 2].write(next_number), range(100)))
    assert sorted(numbers) == list(range(1, 101))


def test_a_reader_sees_one_moment(store):
    store.write(put("a"))

    def looks(tx):
        before = tx.execute("SELECT count(*) FROM rates")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(store.write, put("b")).result(60)
        return before, tx.execute("SELECT count(*) FROM rates")

    assert store.read(looks) == ([(1,)], [(1,)])
    assert names(store) == ["a", "b"]


def test_a_reader_cannot_change_anything(store):
    with pytest.raises(Exception, match=r"read-?only|readonly"):
        store.read(put("a"))
    assert names(store) == []


def test_times_are_milliseconds_of_now(store):
    before = datetime.now(UTC).timestamp() * 1000
    written, read = store.write(lambda tx: tx.now_ms), store.read(lambda tx: tx.now_ms)
    assert before - 2 <= written <= read <= datetime.now(UTC).timestamp() * 1000 + 2


def test_an_operation_must_not_write_to_its_own_store(store):
    with pytest.raises(RuntimeError, match="must not write"):
        store.write(lambda tx: store.write(put("a")))


def test_a_futures_callback_may_write(store):
    done = threading.Event()

    def goes_on(_):
        store.write(put("b"))
        done.set()

    store.submit(put("a")).add_done_callback(goes_on)
    assert done.wait(60)
    assert names(store) == ["a", "b"]


def test_closing_finishes_what_was_submitted_and_takes_nothing_more(location):
    store = open_store(location)
    futures = [store.submit(put(f"n{number}")) for number in range(50)]
    store.close()
    assert all(future.exception(60) is None for future in futures)
    for late in (store.write, store.submit, store.read):
        with pytest.raises(StoreUnavailable):
            late(put("late"))
    store.close()
    again = open_store(location)
    assert len(names(again)) == 50
    again.close()


def test_several_brokers_that_start_at_once_make_the_tables_once(location):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(location), range(4)))
    latest = str(len(schema.MIGRATIONS)).encode()
    for each in stores:
        assert each.read(lambda tx: tx.execute("SELECT value FROM meta WHERE name = 'schema'")) == [(latest,)]
        each.close()


def test_sv_13_a_rate_is_shared_refuses_when_spent_and_comes_back(opened):
    one, two = opened(), opened()
    moment = one.read(lambda tx: tx.now_ms)

    def at(offset_ms):
        def operation(tx):
            tx.now_ms = moment + offset_ms
            rates.spend(tx, "tenant/default", limit=4, per_ms=2000)

        return operation

    for store in (one, two, one, two):
        store.write(at(0))
    with pytest.raises(rates.RateLimited) as refusal:
        one.write(at(100))
    assert (refusal.value.code, refusal.value.retry_after_s) == ("SR-RATE-LIMITED", 1)
    two.write(at(500))
    with pytest.raises(rates.RateLimited):
        two.write(at(501))
    one.write(at(-10_000_000))  # a clock that was set back locks nobody out


def test_sv_14_a_sweep_removes_what_has_run_out_and_nothing_else(store):
    def fills(tx):
        for number in range(30):
            expires = tx.now_ms + (60_000 if number % 3 == 0 else -3_600_000)
            tx.execute("INSERT INTO sessions (id, nonce, tee, state, created_ms, expires_ms, body)"
                       " VALUES (?, ?, '', 'open', 0, ?, ?)", (str(number), str(number), expires, b""))  # fmt: skip
            tx.execute(INSERT, (str(number), expires, 0))

    store.write(fills)
    removed = [store.write(lambda tx: rates.sweep(tx, rows=15)) for _ in range(3)]
    assert removed == [30, 10, 0]
    left = store.read(lambda tx: tx.execute("SELECT nonce FROM sessions ORDER BY nonce"))
    assert sorted(int(row[0]) for row in left) == list(range(0, 30, 3))
