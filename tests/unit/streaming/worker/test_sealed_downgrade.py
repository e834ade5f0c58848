"""Ways around sealing where a queue takes sealed records only: none leads to a prediction."""

import numpy as np
import pytest

from strongroom.clusterserving.record import request_fields
from strongroom.clusterserving.sealed import Binding, InnerSerde, QueueKey, new_response_key, seal_record
from strongroom.secret import Secret
from strongroom.streaming.model.opener import RecordOpener

OURS, OTHER = (QueueKey.from_secret(Secret(bytes([at]) * 32)) for at in (1, 2))
PAYLOAD = b'{"instances": [{"x": [1, 2, 3, 4]}]}'
CLEAR = request_fields("u", {"x": np.ones(4, np.float32)}, serde="raw")


def sealed(job, uri="u", *, key=OURS, model="tiny", version=1):
    binding = Binding(job, uri, model, version)
    data = seal_record(PAYLOAD, InnerSerde.JSON, to=key.public, binding=binding, response_key=new_response_key())
    return {"serde": "sealed", "kid": OURS.public.kid, "data": data}


# What is put into the stream, and the word that comes of it.
WAYS = {
    "sealed as it should be": (sealed, None),
    "in clear": (lambda job: CLEAR, "unauthorized"),
    "in clear, as the original sends it": (lambda job: {"data": "QQ=="}, "unauthorized"),
    "stripped of its word": (lambda job: {"data": sealed(job)["data"]}, "unauthorized"),
    "with the word in capitals": (lambda job: sealed(job) | {"serde": "SEALED"}, "unauthorized"),
    "with a blank behind the word": (lambda job: sealed(job) | {"serde": "sealed "}, "unauthorized"),
    "with clear inputs beside": (lambda job: CLEAR | sealed(job, "other"), "unseal_failed"),
    "without data": (lambda job: {"serde": "sealed", "kid": OURS.public.kid}, "bad_record"),
    "with a kid that is no word": (lambda job: sealed(job) | {"kid": b"\xff" * 16}, "bad_record"),
    "with a kid too long": (lambda job: sealed(job) | {"kid": "a" * 1000}, "bad_record"),
    "for another uri": (lambda job: sealed(job, "other"), "unseal_failed"),
    "for another job": (lambda job: sealed(job + "2"), "unseal_failed"),
    "for another model": (lambda job: sealed(job, model="tiny2"), "unseal_failed"),
    "for another version": (lambda job: sealed(job, version=2), "unseal_failed"),
    "to another key under our kid": (lambda job: sealed(job, key=OTHER), "unseal_failed"),
    "cut short": (lambda job: sealed(job) | {"data": sealed(job)["data"][:-1]}, "unseal_failed"),
    "cut to nothing": (lambda job: sealed(job) | {"data": b""}, "unseal_failed"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_01_kd_24_no_way_leads_around_sealing(in_queue, redis_job, way):
    made, word = WAYS[way]

    async def main(bench):
        opener = RecordOpener(bench.job.name, bench.model.identity)
        opener.hold((OURS,))
        async with bench.running(bench.worker(keys=opener, require_sealed=True)):
            fields = {**made(bench.job.name), "uri": "u"}
            redis_job.admin("XADD", bench.job.stream, "*", *(part for pair in fields.items() for part in pair))
            found = await bench.raw_result("u")
        assert found.get(b"code", b"").decode() == (word or "")
        assert (found[b"value"] == b"NaN") == (word is not None)
        assert bench.model.sizes == ([] if word else [1])
        assert found.keys() <= {b"value", b"id", b"ts", b"code", b"message"}

    in_queue(main)
