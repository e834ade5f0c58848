"""Recovery shares: any threshold of them gives the secret back, fewer say nothing, and what does not fit is named."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.broker.keyring import shares
from strongroom.broker.keyring.shares import BadThreshold, Share, ShareMalformed, SharesDoNotFit, TooFewShares
from strongroom.errors import StrongroomError
from strongroom.secret import Secret

SECRET = bytes(range(7, 39))


def made(secret=SECRET, threshold=3, count=5, *, seed=1, set_id=b"set-one!", root_id="local-00"):
    dice = random.Random(seed)
    return shares.split(
        Secret(secret), threshold=threshold, shares=count, root_id=root_id, set_id=set_id,
        randomness=dice.randbytes((threshold - 1) * len(secret)),
    )  # fmt: skip


@st.composite
def splittings(draw):
    secret = draw(st.binary(min_size=1, max_size=64))
    count = draw(st.integers(2, 12))
    threshold = draw(st.integers(2, count))
    chosen = draw(st.permutations(range(count)))[: draw(st.integers(threshold, count))]
    return secret, threshold, count, chosen, draw(st.integers(0, 2**32))


@given(splittings())
def test_any_threshold_of_shares_gives_the_secret_back_over_their_text(case):
    secret, threshold, count, chosen, seed = case
    made_shares = made(secret, threshold, count, seed=seed)
    read = []
    for index in chosen:
        with made_shares[index].render().reveal() as text:
            read.append(Share.parse(text))
    assert shares.combine(read) == Secret(secret)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_the_field_is_a_field(a, b, c):
    multiply = shares.multiply
    assert multiply(a, b) == multiply(b, a)
    assert multiply(a, multiply(b, c)) == multiply(multiply(a, b), c)
    assert multiply(a, b ^ c) == multiply(a, b) ^ multiply(a, c)
    assert multiply(a, 1) == a
    if a:
        assert multiply(a, shares._inverse(a)) == 1


def test_the_fields_product_is_that_of_aes():
    assert shares.multiply(0x57, 0x83) == 0xC1  # FIPS 197, 4.2
    assert shares.multiply(0x57, 0x13) == 0xFE


def test_the_largest_set_works():
    everyone = made(SECRET[:4], threshold=255, count=255)
    assert shares.combine(everyone) == Secret(SECRET[:4])


@given(st.data())
def test_sa_17_fewer_shares_than_the_threshold_fit_every_secret(data):
    """For each other secret there is randomness that gives exactly the same threshold - 1 shares."""
    threshold = data.draw(st.integers(2, 5))
    real, other = (data.draw(st.binary(min_size=1, max_size=1)) for _ in range(2))
    few = made(real, threshold, 6)[: threshold - 1]
    # The polynomial through (0, other) and these shares: its values at further places complete another full set.
    points = [(0, other[0])]
    for share in few:
        with share.value.reveal() as raw:
            points.append((share.number, raw[0]))
    rest = [
        Share(set_id=few[0].set_id, root_id=few[0].root_id, threshold=threshold, shares=6, number=number,
              value=Secret(bytes([through(points, number)])))
        for number in range(threshold, 7)
    ]  # fmt: skip
    assert shares.combine([*few, *rest]) == Secret(other)
    assert shares.combine([*few, rest[0]]) == Secret(other)


def through(points, place):
    """Lagrange's polynomial through these points, at a place."""
    result = 0
    for number, value in points:
        weight = 1
        for each, _ in points:
            if each != number:
                weight = shares.multiply(weight, shares.multiply(each ^ place, shares._inverse(each ^ number)))
        result ^= shares.multiply(weight, value)
    return result


def test_sa_17_shares_of_any_two_secrets_are_distributed_alike():
    """Over all randomness, two shares of a 3-of-3 byte take every pair of values equally often, whatever the secret."""
    for secret in (0x00, 0x42, 0xFF):
        pairs = Counter()
        for first, second in itertools.product(range(0, 256, 5), range(256)):
            one, two, _ = (
                shares._evaluate(bytes([secret, first, second]), number) for number in (1, 2, 3)
            )  # fmt: skip
            pairs[one, two] += 1
        assert set(pairs.values()) == {1}
        for number in (1, 2, 3):
            values = Counter(shares._evaluate(bytes([secret, coefficient]), number) for coefficient in range(256))
            assert values == dict.fromkeys(range(256), 1)


def test_sa_17_the_text_of_a_share_holds_nothing_of_the_secret():
    secret = bytes(range(100, 132))
    for share in made(secret):
        with share.render().reveal() as text:
            assert secret.hex().encode() not in text
            assert {line.split(":")[0] for line in text.decode().splitlines()[1:]} == {
                "set", "root", "threshold", "shares", "number", "share", "checksum"
            }  # fmt: skip
        assert "value" not in repr(share)


def test_sa_17_two_few_are_refused():
    with pytest.raises(TooFewShares, match=r"2 shares of set .* were given, wanted 3") as caught:
        shares.combine(made()[:2])
    assert caught.value.code == "SR-SHARES-TOO-FEW"
    with pytest.raises(TooFewShares):
        shares.combine([])


def test_shares_of_another_set_are_named():
    ours, theirs = made(), made(set_id=b"set-two!", seed=2)
    with pytest.raises(SharesDoNotFit, match=f"number 4 of set {b'set-two!'.hex()}") as caught:
        shares.combine([ours[0], ours[1], theirs[3]])
    assert caught.value.code == "SR-SHARES-MIXED"
    with pytest.raises(SharesDoNotFit, match=r"number 2 of set .* was given twice"):
        shares.combine([ours[0], ours[1], ours[1]])
    with pytest.raises(SharesDoNotFit, match="root local-99"):
        shares.combine([ours[0], ours[1], made(root_id="local-99")[2]])


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (1, 3), (4, 3), (2, 256), (-1, -1)])
def test_a_threshold_has_bounds(threshold, count):
    with pytest.raises(BadThreshold) as caught:
        shares.check_threshold(threshold, count)
    assert caught.value.code == "SR-THRESHOLD"


def test_every_mistyped_character_is_found():
    with made()[2].render().reveal() as text:
        for place in range(len(text) - 1):
            for other in (b"0", b"f", b"x", b"\n"):
                changed = text[:place] + other + text[place + 1 :]
                if changed != text:
                    with pytest.raises(ShareMalformed) as caught:
                        Share.parse(changed, what="share-3.txt")
                    assert caught.value.code == "SR-SHARE"
                    assert caught.value.sentence.startswith("share-3.txt")


def test_a_share_that_was_printed_on_another_system_is_read():
    with made()[0].render().reveal() as text:
        assert Share.parse(text.replace(b"\n", b"\r\n")) == Share.parse(text.rstrip())


@given(st.binary(max_size=1200))
def test_any_bytes_are_a_share_or_refused(text):
    try:
        Share.parse(text)
    except StrongroomError as problem:
        assert isinstance(problem, ShareMalformed)
