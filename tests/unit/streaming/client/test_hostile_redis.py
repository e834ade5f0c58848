"""What a client makes of what others can write into Redis: notices, heartbeats, results of entries not its own."""

import numpy as np
import pytest

from strongroom.streaming.client.client import Client

FOUR = np.array([1, 2, 3, 4], np.float32)
DEEP = b'{"limits":' * 100_000
HEARTBEATS = [
    b"", b"null", b"[]", b"\xff", DEEP, b'{"limits": 1}',
    b'{"limits": {"records": "x", "bytes": [], "record_bytes": -1}}',
    b'{"limits": {"records": 1e999}}', b'{"requires_sealed": "x", "model": 7, "kid": {}}',
]  # fmt: skip


def test_an_04_notices_that_others_put_on_our_list_disturb_nothing(bench):
    """A record may name any reply list, and so any client can put uris on it."""
    bench.worker()
    client = bench.open(Client(**bench.options(client="ann")))
    assert client.predict({"t": FOUR}, timeout_s=20).outputs
    bench.redis.admin(
        "RPUSH", bench.job.reply("ann"), *[b"u%d" % at for at in range(3000)], b"\xff\xfe", b"", b"a" * 100_000
    )
    assert client.predict({"t": FOUR}, timeout_s=20).outputs
    other = bench.open(Client(**bench.options(client="ben")))
    other.predict({"t": FOUR}, timeout_s=20)
    assert client.predict({"t": FOUR}, timeout_s=20).outputs


@pytest.mark.parametrize("state", HEARTBEATS)
def test_sv_12_heartbeats_that_say_anything_disturb_nothing(bench, state):
    bench.worker()
    bench.redis.admin("SET", bench.job.worker("evil"), state)
    bench.redis.admin("HSET", bench.job.workers, "evil", "999999999999999999999")
    client = bench.open(Client(**bench.options()))
    assert client.predict({"t": FOUR}, timeout_s=20).outputs
