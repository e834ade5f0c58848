"""Which requests are asked again, how often and when."""

import threading
import time

import pytest

from strongroom.client.retries import BadRetries, Fate, NotAnswered, Retrier, Retries, fate_of_grpc
from strongroom.client.status import ServerBusy

NO_PAUSE = {"first_pause_s": 0.0}


class Tries:
    """Fails with the fates given, then answers; counts how often it was asked and how much time it was given."""

    def __init__(self, *fates):
        self.fates, self.left = list(fates), []

    def __call__(self, left_s):
        self.left.append(left_s)
        if self.fates:
            raise NotAnswered(self.fates.pop(0), lambda: ServerBusy("no answer"))
        return "answer"


def test_by_default_what_no_server_began_is_asked_again_and_nothing_else():
    tries = Tries(Fate.NOT_BEGUN, Fate.NOT_BEGUN)
    assert Retrier(Retries(**NO_PAUSE)).run(tries, 10) == "answer"
    assert len(tries.left) == 3
    for fate in (Fate.UNKNOWN, Fate.FINAL):
        tries = Tries(fate)
        with pytest.raises(ServerBusy):
            Retrier(Retries(**NO_PAUSE)).run(tries, 10)
        assert len(tries.left) == 1


def test_a_caller_who_gives_a_number_repeats_so_often_whatever_became_of_the_request_but_for_a_final_answer():
    assert Retries.of(3) == Retries(attempts=4, unknown=True)
    assert Retries.of(0) == Retries(attempts=1, unknown=True)
    assert Retries.of(None) == Retries()
    assert Retries.of(3).allows(Fate.UNKNOWN, 3)
    assert not Retries.of(3).allows(Fate.UNKNOWN, 4)
    assert not Retries.of(3).allows(Fate.FINAL, 1)
    assert not Retries.of(0).allows(Fate.NOT_BEGUN, 1)


def test_attempts_are_bounded():
    tries = Tries(*[Fate.NOT_BEGUN] * 9)
    with pytest.raises(ServerBusy):
        Retrier(Retries(attempts=4, **NO_PAUSE)).run(tries, 10)
    assert len(tries.left) == 4


def test_pauses_double_up_to_a_longest_one_and_chance_takes_up_to_half_of_each():
    retries = Retries(first_pause_s=0.1, longest_pause_s=0.5)
    assert [retries.pause_s(attempt, 0.0) for attempt in (1, 2, 3, 4, 99)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert retries.pause_s(2, 1.0) == pytest.approx(0.1)


def test_no_try_begins_after_the_deadline_and_each_is_told_what_is_left():
    tries = Tries(*[Fate.NOT_BEGUN] * 99)
    retrier = Retrier(Retries(attempts=100, first_pause_s=0.02, longest_pause_s=0.02))
    started = time.monotonic()
    with pytest.raises(ServerBusy):
        retrier.run(tries, 0.1)
    assert len(tries.left) < 99
    assert tries.left == sorted(tries.left, reverse=True)
    assert time.monotonic() - started >= 0.05  # it did try for a while


def test_a_pause_that_would_outlast_the_deadline_is_not_made():
    assert Retrier(Retries(first_pause_s=60, longest_pause_s=60)).pause_after(Fate.NOT_BEGUN, 1, 1.0) is None


def test_a_budget_bounds_the_repetitions_of_all_requests_and_answers_refill_it():
    retrier = Retrier(Retries(attempts=2, budget=3, refill=0.5, **NO_PAUSE))
    for _ in range(3):
        with pytest.raises(ServerBusy):
            retrier.run(Tries(Fate.NOT_BEGUN, Fate.NOT_BEGUN), 10)
    spent = Tries(Fate.NOT_BEGUN)
    with pytest.raises(ServerBusy):
        retrier.run(spent, 10)
    assert len(spent.left) == 1
    for _ in range(2):
        retrier.run(Tries(), 10)
    assert retrier.run(Tries(Fate.NOT_BEGUN), 10) == "answer"


def test_many_threads_share_one_budget():
    retrier = Retrier(Retries(budget=50, **NO_PAUSE))
    given = []

    def take():
        given.extend(retrier.pause_after(Fate.NOT_BEGUN, 1, 10.0) for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each is not None for each in given) == 50


@pytest.mark.parametrize(
    "numbers",
    [{"attempts": 0}, {"attempts": 101}, {"budget": -1}, {"refill": -0.1}, {"first_pause_s": float("nan")}],
)
def test_numbers_that_make_no_sense_are_refused(numbers):
    with pytest.raises(BadRetries) as caught:
        Retries(**numbers)
    assert caught.value.code == "SR-CLIENT-RETRIES"


@pytest.mark.parametrize(
    ("status", "text", "fate"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: … Connection refused", Fate.NOT_BEGUN),
        ("UNAVAILABLE", "the server is stopping", Fate.NOT_BEGUN),
        ("UNAVAILABLE", "Stream removed (Socket closed)", Fate.UNKNOWN),
        ("UNAVAILABLE", "", Fate.UNKNOWN),
        ("UNAVAILABLE", "failed to connect to all addresses; … CERTIFICATE_VERIFY_FAILED …", Fate.FINAL),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", Fate.FINAL),
        ("INVALID_ARGUMENT", "failed to connect to all addresses", Fate.FINAL),
        ("RESOURCE_EXHAUSTED", "queue full", Fate.FINAL),
        ("INTERNAL", "", Fate.FINAL),
        ("CANCELLED", "", Fate.FINAL),
    ],
)
def test_what_became_of_a_call_follows_from_its_status(status, text, fate):
    assert fate_of_grpc(status, text) is fate
