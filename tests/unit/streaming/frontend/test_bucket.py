"""So many requests in any second, and not one more."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.streaming.frontend.bucket import MAX_TOKENS, TokenBucket


def test_d06_the_thirty_first_request_within_a_second_is_refused():
    bucket = TokenBucket(30)
    assert [bucket.take(0.01 * each, patience_s=0.1) for each in range(30)] == [0.0] * 30
    assert bucket.take(0.5, patience_s=0.1) == 0.5  # refused, with the time to come again


def test_who_waits_gets_the_token_that_comes_back():
    bucket = TokenBucket(1)
    assert bucket.take(0.0) == 0.0
    assert bucket.take(0.95, patience_s=0.1) == 1.0 - 0.95
    assert bucket.take(0.96, patience_s=0.1) > 0.1  # the one behind waits for the token after that
    assert bucket.take(2.5) == 0.0


def test_a_refused_request_takes_no_token():
    bucket = TokenBucket(1)
    bucket.take(0.0)
    for _ in range(100):
        assert bucket.take(0.5) > 0
    assert bucket.take(1.0) == 0.0


def test_no_bucket_is_endless():
    bucket = TokenBucket(10**12)
    for _ in range(MAX_TOKENS):
        bucket.take(0.0)
    assert bucket.take(0.0) > 0


@given(st.integers(1, 5), st.lists(st.floats(0, 0.5), max_size=60), st.floats(0, 0.5))
def test_no_second_ever_sees_more_than_the_bucket_holds(tokens, gaps, patience_s):
    bucket, now, used = TokenBucket(tokens), 0.0, []
    for gap in gaps:
        now += gap
        wait_s = bucket.take(now, patience_s=patience_s)
        if wait_s <= patience_s:
            used.append(now + wait_s)
    used.sort()
    for first, last in zip(used, used[tokens:], strict=False):
        assert last - first >= 1 - 1e-9
