"""Tables do what arithmetic would, for every order, layout and type."""

import itertools

import numpy as np
import pytest

from strongroom.streaming.images.preprocess import BadPreprocess, Layout, Order, Preprocess

PIXELS = np.random.default_rng(5).integers(0, 256, (7, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(("order", "layout"), list(itertools.product(Order, Layout)))
def test_the_table_gives_what_arithmetic_gives(order, layout):
    made = Preprocess.parse(
        {"order": order, "layout": layout, "mean": [10, 20, 30], "scale": 2.0, "std": [50, 60.5, 70]}
    )
    found = made.apply(PIXELS, layout=layout, dtype=np.dtype(np.float32))
    colours = PIXELS if order is Order.BGR else PIXELS[..., ::-1]
    wanted = ((colours.astype(np.float64) - [10, 20, 30]) * 2.0 / [50, 60.5, 70]).astype(np.float32)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, wanted if layout is Layout.HWC else wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("kind", ["float16", "float64", "uint8", "int8", "int32"])
def test_other_types_are_rounded_and_kept_within_their_range(layout, kind):
    made = Preprocess.parse({"dtype": kind, "mean": 100.4})
    found = made.apply(PIXELS, layout=layout, dtype=np.dtype(np.float32))
    values = (PIXELS.astype(np.float64) - 100.4).astype(np.float32)
    if np.dtype(kind).kind != "f":
        limits = np.iinfo(kind)
        values = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
    wanted = values.astype(kind)
    assert np.array_equal(found, wanted if layout is Layout.HWC else wanted.transpose(2, 0, 1))


def test_bytes_as_they_are_are_copied_not_shared():
    found = Preprocess().apply(PIXELS, layout=Layout.HWC, dtype=np.dtype(np.uint8))
    assert np.array_equal(found, PIXELS)
    assert not np.shares_memory(found, PIXELS)


@pytest.mark.parametrize(
    "given",
    [{"order": "gbr"}, {"layout": "nchw"}, {"mean": [1, 2]}, {"mean": "1"}, {"std": 0}, {"std": [1, 0, 1]},
     {"scale": float("nan")}, {"scale": [1, 2]}, {"dtype": "complex64"}, {"meen": 1}, {"mean": [1, 2, True]},
     {"scale": 10**400}],
)  # fmt: skip
def test_a_wrong_word_is_an_error_at_the_start(given):
    with pytest.raises(BadPreprocess) as caught:
        Preprocess.parse(given)
    assert caught.value.code == "SR-QUEUE-PREPROCESS"


def test_nothing_said_is_the_original_s_way():
    assert Preprocess.parse(None) == Preprocess()
    assert Preprocess.parse({}).apply(PIXELS, layout=Layout.CHW, dtype=np.dtype(np.float32)).max() == PIXELS.max()
