"""What several properties share."""

import sys
import tracemalloc

import pytest

from strongroom.errors import StrongroomError


@pytest.fixture
def work():
    """Return what counts how many calls a parser makes on `data`, and how many bytes it holds at its peak."""
    return _work


def _work(parser, data):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += 1

    tracemalloc.start()
    sys.setprofile(count)
    try:
        parser(data)
    except StrongroomError:
        pass
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return calls, peak
