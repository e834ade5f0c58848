"""How often one address and one tenant may ask: shared by brokers, cheap for the honest, cheaper for a flood."""

import asyncio
import json
from concurrent.futures import Future

import pytest

from strongroom.broker import kbs_rates
from strongroom.broker.kbs_rates import PER_ADDRESS, KbsRates
from strongroom.broker.store.errors import StoreUnavailable
from strongroom.broker.store.opening import open_store
from strongroom.broker.store.rates import RateLimited

PREFIX = "/kbs/v0"
PATH = "default/model/efficientnet-lite0.1"
PEER = "192.0.2.7:4711"


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request, tmp_path):
    return tmp_path / "broker.db" if request.param == "sqlite" else request.getfixturevalue("postgres").url


class Counting:
    """A store that counts what is written to it."""

    def __init__(self, store):
        self.store = store
        self.writes = 0

    def submit(self, operation):
        self.writes += 1
        return self.store.submit(operation)


@pytest.fixture
def stores(location):
    """Two brokers' views of one store."""
    opened = [open_store(location), open_store(location)]
    yield [Counting(each) for each in opened]
    for each in opened:
        each.close()


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


async def asked(rates, times, kind="auth", peer=PEER):
    """Ask so often, all at once; return how many were let through."""
    found = await asyncio.gather(*(rates.address(kind, peer) for _ in range(times)), return_exceptions=True)
    assert all(each is None or isinstance(each, RateLimited) for each in found), found
    return sum(each is None for each in found)


def test_sv_13_two_brokers_on_one_store_share_what_an_address_may_ask(stores):
    async def both():
        one, two = (KbsRates(store, per_address=6) for store in stores)
        return [await asked(each, 4) for each in (one, two, one)], await asked(two, 4, peer="192.0.2.8:1")

    assert asyncio.run(both()) == ([4, 2, 0], 4)


def test_sv_13_each_kind_of_request_has_its_own_count(stores):
    async def kinds():
        rates = KbsRates(stores[0], per_address=2)
        return [await asked(rates, 3, kind) for kind in ("auth", "attest", "resource")]

    assert asyncio.run(kinds()) == [2, 2, 2]


@pytest.mark.parametrize("peer", ["192.0.2.7:4711", "2001:db8::7:4711", ""])
def test_sv_13_a_thousand_replicas_behind_one_address_pass_for_few_writes(stores, peer):
    async def fleet():
        return await asked(KbsRates(stores[0]), 1000, peer=peer)

    assert asyncio.run(fleet()) == 1000
    assert stores[0].writes <= 1000 * 60 // PER_ADDRESS + 1


def test_sv_13_what_is_over_the_rate_is_refused_in_memory(stores):
    async def flood():
        clock = Clock()
        rates = KbsRates(stores[0], per_address=3, clock=clock)
        passed = await asked(rates, 2000)
        before = stores[0].writes
        again = await asked(rates, 2000)
        clock.now += 0.9
        with pytest.raises(RateLimited) as refusal:
            await rates.address("auth", PEER)
        return passed, again, stores[0].writes - before, refusal.value

    passed, again, writes, refusal = asyncio.run(flood())
    assert (passed, again, writes) == (3, 0, 0)
    assert refusal.code == "SR-RATE-LIMITED"
    assert 10 <= refusal.retry_after_s <= 20  # one of three in a minute, by the clock of the store


def test_sv_13_hosts_of_one_ipv6_network_are_one_address(stores):
    async def hosts():
        rates = KbsRates(stores[0], per_address=5)
        return [await asked(rates, 3, peer=peer) for peer in ("2001:db8::1:99", "2001:db8::2:99", "2001:db8:0:1::1:99")]

    assert asyncio.run(hosts()) == [3, 2, 3]


def test_sv_14_the_broker_remembers_a_bounded_number_of_addresses(stores, monkeypatch):
    monkeypatch.setattr(kbs_rates, "MAX_REMEMBERED", 100)

    async def many():
        rates = KbsRates(stores[0], per_address=1)
        for start in range(0, 150, 50):
            names = (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:1" for number in range(start, start + 50))
            await asyncio.gather(*(rates.address("auth", name) for name in names))
        forgotten = await asked(rates, 2, peer="10.0.0.0:1")
        return len(rates._allowances), forgotten

    assert asyncio.run(many()) == (100, 0)  # whoever was forgotten here is known to the store


def test_what_was_taken_and_not_used_is_not_kept_longer_than_it_takes_to_come_back(stores):
    async def idle():
        clock = Clock()
        rates = KbsRates(stores[0], per_address=600, clock=clock)  # 10 at a time
        await asked(rates, 1)
        clock.now += 61
        await asked(rates, 1)
        return stores[0].writes

    assert asyncio.run(idle()) == 2


def test_a_store_that_is_gone_lets_nobody_through_and_says_so(stores):
    class Gone:
        def submit(self, operation):
            future = Future()
            future.set_exception(StoreUnavailable("no route"))
            return future

    with pytest.raises(StoreUnavailable):
        asyncio.run(KbsRates(Gone()).address("auth", PEER))


def test_who_asks_while_the_answer_of_the_store_is_on_its_way_waits_for_the_next_one():
    """Between the store's answer and whoever asked for it, the loop must not be held by who comes meanwhile."""

    class Slow:
        given = ()

        def submit(self, operation):
            self.given = (*self.given, Future())
            return self.given[-1]

    async def ask_all_the_time():
        store, asking = Slow(), []
        rates = KbsRates(store, per_address=60)  # one at a time
        for turn in range(40):
            asking.append(asyncio.create_task(rates.address("auth", PEER)))
            if turn % 4 == 0 and store.given and not store.given[-1].done():
                store.given[-1].set_result(1)
            await asyncio.sleep(0)
        while not all(each.done() for each in asking):
            if not store.given[-1].done():
                store.given[-1].set_result(1)
            await asyncio.sleep(0)
        return len(store.given)

    assert asyncio.run(ask_all_the_time()) == 40


def test_a_caller_that_leaves_takes_nobody_along(stores):
    async def leave():
        rates = KbsRates(stores[0], per_address=3)
        first = asyncio.create_task(rates.address("auth", PEER))
        second = asyncio.create_task(rates.address("auth", PEER))
        await asyncio.sleep(0)
        first.cancel()
        await second
        return await asked(rates, 3)

    assert asyncio.run(leave()) == 2


# Over HTTP


def refused(answer):
    """Return the status of a refusal that clients can read and that says when to come again."""
    status, headers, body = answer
    assert headers["Content-Type"] == "application/problem+json"
    assert set(json.loads(body)) == {"type", "detail"}
    assert int(headers["Retry-After"]) >= 1
    return status


def test_sv_13_a_flood_hears_429_before_evidence_is_verified_or_a_secret_opened(kbs_with, client_of, monkeypatch):
    with kbs_with(rates={"per_address": 3}) as kbs:
        judged, decided = [], []
        judge, decide = kbs.service.judge, kbs.service.decide
        monkeypatch.setattr(kbs.service, "judge", lambda *args, **words: judged.append(1) or judge(*args, **words))
        monkeypatch.setattr(kbs.service, "decide", lambda *args: decided.append(1) or decide(*args))
        client = client_of(kbs)
        assert client.handshake()[0] == 200
        lines = len(kbs.decisions())
        assert [client.get(PATH)[0] for _ in range(3)] == [200] * 3
        assert [client.auth()[0] for _ in range(2)] == [200] * 2
        bad = client.attestation("A" * 43 + "=", {"quote": "AAAA"})
        assert [client.attest(bad)[0] for _ in range(2)] == [401] * 2
        written = len(kbs.decisions())
        for _ in range(5):
            assert refused(client.auth()) == 429
            assert refused(client.attest(bad)) == 429
            assert refused(client.get(PATH)) == 429
        assert (len(judged), len(decided)) == (1, 3)
        assert (lines, len(kbs.decisions())) == (0, written)


def test_sv_13_a_tenant_has_a_rate_that_only_those_who_proved_something_can_use_up(kbs_with, client_of):
    with kbs_with(rates={"per_tenant": 2}) as kbs:
        client, stranger = client_of(kbs), client_of(kbs)
        assert client.handshake()[0] == 200
        assert [stranger.get(PATH)[0] for _ in range(5)] == [401] * 5
        assert [client.get(PATH)[0] for _ in range(2)] == [200] * 2
        assert refused(client.get(PATH)) == 429


def test_a_rate_that_cannot_be_counted_is_no_release(kbs, client):
    client.handshake()
    kbs.store.close()
    assert [refused(client.auth()), refused(client.get(PATH))] == [503, 503]
