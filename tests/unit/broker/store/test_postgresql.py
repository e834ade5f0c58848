"""PostgreSQL as it fails: restarts, lost commits, a lock that somebody keeps, a server set up to forget."""

import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from strongroom.broker.store.errors import StoreNotDurable, StoreUnavailable
from strongroom.broker.store.opening import open_store
from strongroom.broker.store.postgresql import PostgresStore, numbered

INSERT = "INSERT INTO ledger_lines (seq, line) VALUES (?, ?)"


def put(number):
    return lambda tx: tx.execute(INSERT, (number, b""))


def numbers(store):
    return [row[0] for row in store.read(lambda tx: tx.execute("SELECT seq FROM ledger_lines ORDER BY seq"))]


@pytest.fixture
def store(postgres):
    opened = PostgresStore(postgres.url, patience_s=60)
    yield opened
    opened.close()


def test_placeholders_are_numbered_outside_of_quotes():
    assert numbered("a = ? AND b = 'it''s ?' AND c = ?") == b"a = $1 AND b = 'it''s ?' AND c = $2"


def test_a_password_comes_from_a_passfile(postgres):
    opened = open_store(postgres.loopback_url)
    opened.write(put(1))
    assert numbers(opened) == [1]
    assert "passfile" not in opened.description
    opened.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_sa_16_a_store_outlives_a_restart_of_its_server(store, postgres, how):
    store.write(put(1))
    assert numbers(store) == [1]
    postgres.server.stop(how)
    with ThreadPoolExecutor(2) as pool:
        writing, reading = pool.submit(store.write, put(2)), pool.submit(numbers, store)
        postgres.server.start()
        assert writing.result(60) == []
        assert reading.result(60)[0] == 1
    assert numbers(store) == [1, 2]


def test_callers_are_told_when_the_server_stays_away_and_served_when_it_is_back(postgres):
    opened = PostgresStore(postgres.url, patience_s=0.1)
    postgres.server.stop()
    for operation in (opened.write, opened.read):
        with pytest.raises(StoreUnavailable) as refusal:
            operation(put(1))
        assert refusal.value.code == "SR-STORE-UNAVAILABLE"
    postgres.server.start()
    opened.write(put(2))
    assert numbers(opened) == [2]
    opened.close()


class Wire:
    """A relay before the server that cuts the wire at a COMMIT, before the server has it or behind its answer."""

    def __init__(self, port):
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = ""
        self.cuts = 0
        self.lets_in = True
        self._swallow = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.lets_in:
                    client.close()
                    continue
                self._threads.append(threading.Thread(target=self._carry, args=(client,)))
                self._threads[-1].start()

    def _carry(self, client):
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            down = threading.Thread(target=self._relay, args=(server, client, False))
            down.start()
            self._relay(client, server, True)
            down.join(60)

    def _relay(self, source, target, up):
        with suppress(OSError):
            while data := source.recv(65536):
                if not up and self._swallow:
                    break
                if up and self.cut and data.endswith(b"COMMIT\0"):
                    self.cuts += 1
                    self._swallow, before = self.cut == "after", self.cut == "before"
                    self.cut = ""
                    if before:
                        break
                target.sendall(data)
        if not up:
            self._swallow = False
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(60)


@pytest.fixture
def wire(postgres):
    wire = Wire(postgres.server.port)
    wire.url = f"{postgres.loopback_url.replace(f':{postgres.server.port}/', f':{wire.port}/')}&sslmode=disable"
    yield wire
    wire.close()


@pytest.mark.parametrize("cut", ["before", "after"])
def test_sa_16_a_commit_whose_answer_was_lost_is_neither_lost_nor_made_twice(wire, cut):
    opened = PostgresStore(wire.url)
    runs = []

    def counts(tx):
        runs.append(1)
        ((last,),) = tx.execute("SELECT coalesce(max(seq), 0) FROM ledger_lines")
        tx.execute(INSERT, (last + 1, b""))
        return last + 1

    assert opened.write(counts) == 1
    wire.cut = cut
    assert opened.write(counts) == 2
    assert numbers(opened) == [1, 2]
    assert (wire.cuts, len(runs)) == (1, 3 if cut == "before" else 2)
    opened.close()


def test_a_commit_whose_outcome_cannot_be_found_out_is_told_as_that(wire):
    opened = PostgresStore(wire.url, patience_s=0.1)

    def operation(tx):
        wire.cut = "after"
        wire.lets_in = False
        tx.execute(INSERT, (1, b""))

    with pytest.raises(StoreUnavailable, match="it is not known whether"):
        opened.write(operation)
    opened.close()


def test_a_writer_that_keeps_the_lock_makes_others_wait_not_fail(store, postgres):
    other = PostgresStore(postgres.url)
    begun, go_on = threading.Event(), threading.Event()

    def holds(tx):
        begun.set()
        go_on.wait(60)
        tx.execute(INSERT, (1, b""))

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(other.write, holds)
        assert begun.wait(60)
        waiting = pool.submit(store.write, lambda tx: tx.execute("SELECT max(seq) FROM ledger_lines"))
        go_on.set()
        holding.result(60)
        assert waiting.result(60) == [(1,)]
    other.close()


def test_one_slow_operation_fails_and_its_company_goes_on(store):
    def slow(tx):
        tx.execute("SET LOCAL statement_timeout = 10")
        tx.execute("SELECT pg_sleep(10)")

    futures = [store.submit(each) for each in (put(1), slow, put(2))]
    assert isinstance(futures[1].exception(60), StoreUnavailable)
    assert futures[0].result(60) == futures[2].result(60) == []
    assert numbers(store) == [1, 2]


def test_a_connection_that_the_server_ends_in_the_middle_is_made_anew(store, postgres):
    cut = []

    def operation(tx):
        tx.execute(INSERT, (1, b""))
        if not cut:
            cut.append(True)
            postgres.server.psql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom-broker'"
                " AND state = 'idle in transaction'"
            )
        return tx.execute("SELECT count(*) FROM ledger_lines")

    assert store.write(operation) == [(1,)]
    assert numbers(store) == [1]


def test_a_server_that_does_not_sync_is_refused(postgres):
    server = postgres.server
    server.psql("ALTER SYSTEM SET full_page_writes = off")
    server.stop()
    server.start()
    try:
        with pytest.raises(StoreNotDurable) as refusal:
            PostgresStore(postgres.url)
        assert refusal.value.code == "SR-STORE-NOT-DURABLE"
    finally:
        server.psql("ALTER SYSTEM RESET full_page_writes")
        server.stop()
        server.start()


def test_a_database_may_forget_to_sync_commits_and_the_store_does_not(store, postgres):
    postgres.server.psql(f"ALTER DATABASE {postgres.name} SET synchronous_commit = off")
    opened = PostgresStore(postgres.url)
    assert opened.write(lambda tx: tx.execute("SHOW synchronous_commit")) == [("on",)]
    opened.close()
