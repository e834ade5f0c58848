"""What clients put on the wire and what they take from it: round trips, shapes, sealed records."""

import secrets
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.clusterserving.faults import Unauthorized, UnsealFailed
from strongroom.clusterserving.public_key_file import KeyFileExpired, KeyFileForged, OtherQueue, PublicKeyFile
from strongroom.clusterserving.result import result_fields
from strongroom.clusterserving.sealed import QueueKey
from strongroom.clusterserving.values import Record
from strongroom.pki.signing import public_pem
from strongroom.secret import Secret
from strongroom.streaming.client import Client, InputQueue, OutputQueue, ResultTimeout
from strongroom.streaming.client.settings import BadQueueOption
from strongroom.streaming.model.opener import RecordOpener
from strongroom.streaming.model.predictor import ModelIdentity

CANARY = np.frombuffer(b"CANARY of a data", "<f4")


@pytest.fixture
def counted(monkeypatch):
    """Count the times that something is sent to Redis and waited for."""
    from strongroom.streaming.link.connection import SyncLink

    turns, exchange = [], SyncLink.exchange
    monkeypatch.setattr(
        SyncLink, "exchange", lambda self, words, **more: turns.append(1) or exchange(self, words, **more)
    )
    return turns


def test_d10_a_record_takes_one_round_trip_and_so_do_many_together(bench, counted, four):
    bench.worker()
    client, enqueue = bench.open(Client(**bench.options())), bench.open(InputQueue(**bench.options()))
    client.submit({"t": four})
    enqueue.enqueue("a", t=four)
    counted.clear()
    client.submit({"t": four})
    assert len(counted) == 1
    enqueue.enqueue("b", t=four)
    assert len(counted) == 2
    client.submit_many([{"t": four}] * 200)
    assert len(counted) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1,), (0,), (2, 0), (1, 3), ()])
@pytest.mark.parametrize("accept_raw", [True, False])
def test_d17_shapes_come_back_whole(bench, shape, accept_raw):
    record = Record("1-0", "a", ({},), accept_raw=accept_raw)
    fields = result_fields(record, ts_ms=1, outputs={"y": np.ones(shape, np.float32)})
    bench.redis.admin("HSET", bench.job.result("a"), *(part for each in fields.items() for part in each))
    assert bench.open(OutputQueue(**bench.options())).query("a").shape == shape


class Sealing:
    """An owner, a queue key, a worker that holds it, and key files for clients."""

    def __init__(self, bench, folder):
        self.bench, self.folder, self.owner = bench, folder, Ed25519PrivateKey.generate()
        self.key = QueueKey.from_secret(Secret(secrets.token_bytes(32)))
        (folder / "owner_public.pem").write_bytes(public_pem(self.owner.public_key()))

    def worker(self, **options):
        opener = RecordOpener(self.bench.job.name, ModelIdentity("doubling", 1, "00" * 32))
        opener.hold([self.key])
        return self.bench.worker(keys=opener, **options)

    def options(self, *, version=1, key=None, signer=None, days=1, job=None, **more):
        file = PublicKeyFile(
            job=job or self.bench.job.name, model="doubling", version=version, key=(key or self.key).public,
            not_after=datetime.now(UTC) + timedelta(days=days),
        )  # fmt: skip
        path = self.folder / f"key-{secrets.token_hex(4)}.json"
        path.write_bytes(file.signed(signer or self.owner))
        return self.bench.options(seal_to=path, owner_key=self.folder / "owner_public.pem", **more)


@pytest.fixture
def sealing(bench, tmp_path):
    return Sealing(bench, tmp_path)


def test_d04_a_sealed_record_comes_back_and_redis_never_sees_it(bench, sealing):
    worker = sealing.worker(free=False, require_sealed=True)
    client = bench.open(Client(**sealing.options()))
    enqueue, output = bench.open(InputQueue(**sealing.options())), bench.open(OutputQueue(**sealing.options()))
    ticket = client.submit({"t": CANARY})
    enqueue.enqueue("by-name", t=CANARY)
    seen = repr(bench.redis.admin("XRANGE", bench.job.stream, "-", "+")).encode()
    worker.free()
    np.testing.assert_array_equal(ticket.result(20).outputs["y"], 2 * CANARY)
    while True:
        try:
            found = output.query("by-name")
            break
        except ResultTimeout:
            continue
    np.testing.assert_array_equal(found, 2 * CANARY)
    seen += repr(bench.redis.admin("HGETALL", bench.job.result("by-name"))).encode()
    assert b"sealed" in seen
    assert b"CANARY" not in seen


def test_a_sealed_record_may_be_sent_again_and_opens(bench, sealing):
    worker = sealing.worker(free=False)
    client = bench.open(Client(**sealing.options()))
    tickets = [client.submit({"t": CANARY}, idempotency_key="again") for _ in range(1)]
    client.core.waits.drop([each._wait for each in tickets])
    tickets.append(client.submit({"t": CANARY}, idempotency_key="again"))
    assert tickets[0].entry_id == tickets[1].entry_id
    worker.free()
    np.testing.assert_array_equal(tickets[1].result(20).outputs["y"], 2 * CANARY)


def test_d04_a_record_for_another_version_does_not_open(bench, sealing):
    sealing.worker()
    client = bench.open(Client(**sealing.options(version=2)))
    with pytest.raises(UnsealFailed) as problem:
        client.predict({"t": CANARY}, timeout_s=20)
    assert problem.value.code == "SR-QUEUE-UNSEAL"


def test_clear_records_are_refused_before_they_leave_where_sealed_ones_are_wanted(bench, sealing):
    sealing.worker(require_sealed=True)
    client = bench.open(Client(**bench.options()))
    with pytest.raises(Unauthorized):
        client.submit({"t": CANARY})
    assert bench.redis.admin("XLEN", bench.job.stream) == 0


def test_keys_that_the_owner_did_not_sign_for_this_queue_are_not_sealed_to(sealing):
    for options, kind in (
        (sealing.options(signer=Ed25519PrivateKey.generate()), KeyFileForged),
        (sealing.options(days=-1), KeyFileExpired),
        (sealing.options(job="other"), OtherQueue),
        (sealing.options(version=None), OtherQueue),
        ({**sealing.options(), "owner_key": None}, BadQueueOption),
        ({**sealing.options(), "seal_to": "/nowhere"}, BadQueueOption),
    ):
        with pytest.raises(kind):
            Client(**options)
    Client(**sealing.options(version=None), version=3).close()


def test_a_key_that_runs_out_while_a_client_lives_is_not_sealed_to(bench, sealing):
    sealing.worker()
    client = bench.open(Client(**sealing.options()))
    client.core.sealer._now = lambda: datetime.now(UTC) + timedelta(days=2)
    with pytest.raises(KeyFileExpired):
        client.submit({"t": CANARY})
