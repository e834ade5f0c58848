"""The values of a large request are used where they arrived: no copy between the socket's bytes and the engine."""

import grpc
import numpy as np
import pytest

from strongroom.serving.fronts.connection_age import Lifetime
from strongroom.serving.fronts.fast_front import speaking
from strongroom.serving.fronts.front import Front, Patience
from strongroom.serving.fronts.http2_front import Offer
from strongroom.serving.http2 import ALIGNED_FROM_BYTES, ALIGNMENT, SessionSettings, available
from strongroom.serving.requests.dataplane import Dataplane
from strongroom.serving.requests.rpc import Rpc
from strongroom.serving.status import BadRequest
from strongroom.tfserving import messages
from strongroom.tfserving.predict_forms import LARGE_BYTES, PredictForms
from strongroom.tfserving.predict_wire import encode_predict_request

LIMIT_S = 30
PIXELS = np.arange(224 * 224 * 3, dtype=np.float32).reshape(1, 224, 224, 3)


def asked(name, array, *, as_content=True):
    return encode_predict_request({"input": array}, messages.ModelSpec(name=name), as_content=as_content)


class Watched(Dataplane):
    """Keeps the arrays that would go to an engine, and refuses."""

    def __init__(self):
        super().__init__()
        self.arrays = []

    def predict(self, call, reply, *, deadline):
        self.arrays.append(call.arrays["input"] if call.arrays else None)
        raise BadRequest("seen")


def lies_in(array, message):
    """Return whether an array's memory is a message's, and begins at a multiple of ALIGNMENT."""
    return np.shares_memory(array, np.frombuffer(message, np.uint8)) and not array.ctypes.data % ALIGNMENT


@pytest.fixture
def served(on_loop):
    """Serve the watched dataplane; give its port, its arrays and the messages that arrived."""
    plane, seen = Watched(), []
    rpc = Rpc(plane)

    def predict(message, deadline, reply):
        seen.append(message)
        return rpc.methods[messages.PREDICT](message, deadline, reply)

    offer = Offer(
        methods={messages.PREDICT: predict}, place=rpc.tensor_place, max_message_bytes=1 << 24,
        settings=SessionSettings(), lifetime=Lifetime(),
    )  # fmt: skip

    async def start():
        front = Front(speaking(offer, max_body_bytes=1 << 24), Patience())
        return front, await front.listen("127.0.0.1", 0, None)

    front, port = on_loop(start())
    yield port, plane.arrays, seen
    on_loop(front.stop(1))


def ask(channel, message):
    with pytest.raises(grpc.RpcError, match="seen"):
        channel.unary_unary(messages.PREDICT)(message, timeout=LIMIT_S)


@pytest.mark.skipif(available() is None, reason="there is no libnghttp2 here")
@pytest.mark.parametrize("name", ["m", "mo", "mod", "mode"])
@pytest.mark.parametrize("as_content", [True, False])
def test_from_a_peers_second_large_request_on_its_tensor_is_a_view_of_what_arrived(served, name, as_content):
    port, arrays, seen = served
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(3):
            ask(channel, asked(name, PIXELS, as_content=as_content))
    assert [np.array_equal(each, PIXELS) for each in arrays[1:]] == [True, True]
    assert all(lies_in(array, message) for array, message in zip(arrays[1:], seen[1:], strict=True))


@pytest.mark.skipif(available() is None, reason="there is no libnghttp2 here")
def test_a_later_connection_begins_with_what_was_learnt(served):
    port, arrays, seen = served
    for _ in range(2):
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            ask(channel, asked("mo", PIXELS))
    assert lies_in(arrays[-1], seen[-1])


def test_the_place_is_that_of_the_largest_input_of_the_last_large_request():
    forms = PredictForms()
    assert forms.place == 0
    first = asked("m", PIXELS)
    for _ in range(2):
        forms.parse(first)
        assert forms.place == first.index(PIXELS.tobytes())
    forms.parse(asked("m", PIXELS[0, 0]))  # small
    assert forms.place == first.index(PIXELS.tobytes())
    text = asked("m", np.array([b"x" * LARGE_BYTES]))
    forms.parse(text)
    assert forms.place == 0
    forms.parse(first)
    assert forms.place == first.index(PIXELS.tobytes())


def test_both_rooms_mean_the_same_by_large():
    assert LARGE_BYTES == ALIGNED_FROM_BYTES
