"""InputQueue with frontend_url against our own front end."""

import json

import numpy as np
import pytest

from strongroom.clusterserving.faults import QueueFull, ShapeMismatch
from strongroom.streaming.client import InputQueue


@pytest.fixture
def enqueue(front, echo, authority, tmp_path):
    """Return what opens an InputQueue on a front end: `enqueue(backend)`."""
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    opened = []

    def make(backend=None, **settings):
        here = front(backend or echo(), **settings)
        opened.append(InputQueue(f"https://localhost:{here.port}", ca=str(tmp_path / "ca.pem")))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.mark.parametrize("request_data", [np.ones(4), {"t": np.ones(4)}, json.dumps({"instances": [{"t": [1] * 4}]})])
def test_predict_over_https_gives_an_array(enqueue, request_data):
    assert np.ravel(enqueue().predict(request_data, timeout=30)).tolist() == [2, 2, 2, 2]


def test_several_outputs_are_a_list(enqueue, echo):
    found = enqueue(echo(answer={"a": np.ones(2, np.float32), "b": np.zeros((1, 1), np.float32)})).predict(np.ones(4))
    assert [each.shape for each in found] == [(2,), (1, 1)]


def test_a_filters_text_is_a_text(enqueue, echo):
    assert enqueue(echo(answer="[[903,0.13]]")).predict(np.ones(4)) == "[[903,0.13]]"


def test_failures_and_limits_are_typed(enqueue, echo):
    with pytest.raises(ShapeMismatch):
        enqueue(echo(failing={0: ShapeMismatch("[5]")})).predict(np.ones(5))
    limited = enqueue(tokens_per_second=1, patience_s=0.0)
    refused = 0
    for _ in range(20):  # a token comes back in a second, which a busy host may take for a request
        try:
            limited.predict(np.ones(4))
        except QueueFull:
            refused += 1
    assert refused
