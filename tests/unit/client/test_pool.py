"""Several connections: who is lent, who is replaced, and when one is closed."""

import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from strongroom.client.pool import BadConnections, Pool, Size
from strongroom.client.status import ServerBusy

FOR_EVER = 1e9


class Link:
    def __init__(self, number):
        self.number, self.closed = number, 0

    def close(self):
        self.closed += 1


@pytest.fixture
def made():
    return []


@pytest.fixture
def pool(made):
    def build(count, *, max_age_s=FOR_EVER, exclusive=False):
        def make():
            made.append(Link(len(made)))
            return made[-1]

        return Pool(make, Size(count=count, max_age_s=max_age_s), exclusive=exclusive)

    return build


def lend_once(links):
    with links.lend(1) as link:
        return link


def test_one_request_after_the_other_goes_round(pool):
    links = pool(3)
    assert Counter(lend_once(links).number for _ in range(9)) == {0: 3, 1: 3, 2: 3}


def test_the_link_with_the_fewest_requests_in_flight_is_lent(pool):
    links = pool(2)
    with links.lend(1) as busy:
        assert {lend_once(links) for _ in range(4)}.isdisjoint({busy})
    with ExitStack() as stack:
        count = Counter(stack.enter_context(links.lend(1)).number for _ in range(10))
    assert count == {0: 5, 1: 5}


def test_an_exclusive_link_is_lent_to_one_request_at_a_time(pool):
    links = pool(1, exclusive=True)
    with links.lend(1), pytest.raises(ServerBusy, match="busy"), links.lend(0.01):
        pass
    taken = threading.Event()

    def wait():
        with links.lend(10):
            taken.set()

    with links.lend(1):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not taken.is_set()
    thread.join()
    assert taken.is_set()


def test_a_link_that_has_reached_its_age_is_replaced_and_closed_when_its_requests_have_ended(pool, made):
    links = pool(1, max_age_s=1e-9)
    with links.lend(1) as old, links.lend(1) as new:
        assert new is not old
        assert not old.closed
    assert old.closed
    assert made[-1] in {new, made[-1]}


def test_ages_differ_so_that_connections_of_one_moment_do_not_end_in_one_moment(pool):
    links = pool(64, max_age_s=100)
    ends = {slot.ends for slot in links._slots}  # the clock is not ours to turn
    assert max(ends) - min(ends) > 1


def test_a_retired_link_is_lent_no_more(pool, made):
    links = pool(1)
    with links.lend(1) as broken:
        links.retire(broken)
        links.retire(broken)
        assert not broken.closed
        assert lend_once(links) is not broken
    assert broken.closed == 1
    assert len(made) == 2


def test_a_retired_link_without_requests_is_closed_at_once(pool):
    links = pool(1)
    broken = lend_once(links)
    links.retire(broken)
    assert broken.closed == 1


def test_a_closed_pool_has_closed_its_links_and_the_next_request_gets_a_new_one(pool, made):
    links = pool(2)
    lend_once(links)
    links.close()
    links.close()
    assert all(link.closed for link in made[:2])
    assert not lend_once(links).closed


def test_many_threads_lend_and_retire(pool, made):
    links = pool(3)

    def work():
        for turn in range(100):
            with links.lend(10) as link:
                assert not link.closed
                if turn % 10 == 0:
                    links.retire(link)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    links.close()
    assert all(link.closed for link in made[:-3])


@pytest.mark.parametrize(("count", "max_age_s"), [(0, 1), (1025, 1), (1, 0), (1, -1), (1, float("nan"))])
def test_sizes_that_make_no_sense_are_refused(count, max_age_s):
    with pytest.raises(BadConnections) as caught:
        Size(count=count, max_age_s=max_age_s)
    assert caught.value.code == "SR-CLIENT-CONNECTIONS"
