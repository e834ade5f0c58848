"""Any bytes are an image or an error; any pixels come through a lossless format and the tables unchanged."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from strongroom.clusterserving.faults import BadImage
from strongroom.streaming.frontend.servables import BadServables, read_servables
from strongroom.streaming.images.decode import decode
from strongroom.streaming.images.header import NotAnImage, read_header
from strongroom.streaming.images.preprocess import Layout, Order, Preprocess

MAGICS = st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b""])
PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


@given(MAGICS, st.binary(max_size=300))
def test_any_bytes_have_a_size_or_are_no_image(magic, rest):
    try:
        header = read_header(magic + rest)
    except NotAnImage:
        return
    assert header.width > 0
    assert header.height > 0


@given(PIXELS, st.sampled_from([".png", ".bmp", ".jpg"]), st.integers(0, 400), st.integers(0, 255))
def test_a_changed_image_decodes_within_its_own_header_or_not_at_all(pixels, kind, at, value):
    data = bytearray(cv2.imencode(kind, pixels)[1].tobytes())
    data[at % len(data)] = value
    try:
        found = decode(bytes(data), max_pixels=10_000)
    except BadImage:
        return
    assert found.shape[0] * found.shape[1] <= 10_000


@given(PIXELS, st.sampled_from(Order), st.sampled_from(Layout))
def test_pixels_survive_a_lossless_file_and_the_tables(pixels, order, layout):
    data = cv2.imencode(".png", pixels)[1].tobytes()
    made = Preprocess(order=order).apply(decode(data), layout=layout, dtype=np.dtype(np.float32))
    back = made if layout is Layout.HWC else made.transpose(1, 2, 0)
    assert np.array_equal(back if order is Order.BGR else back[..., ::-1], pixels)


@given(st.binary(max_size=200) | st.text(alphabet="-!<>:[]{}&* \nmodelMtaDsL01", max_size=200).map(str.encode))
def test_any_list_of_models_is_one_or_an_error(text):
    for each in (text, b"modelMetaDataList:\n" + text):
        try:
            assert read_servables(each)
        except BadServables:
            continue
