"""Whatever two brokers on one store do in whatever order: no limit is exceeded, and nothing revoked is granted."""

import itertools
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.broker import leases, revocations
from strongroom.broker.leases import LeaseRequest
from strongroom.broker.names import SecretName
from strongroom.broker.store.opening import open_store

LIMIT = 2
SECONDS = 100
SECRET = SecretName.parse("model/m/1")
PROGRAMS = ("e1" * 32, "e2" * 32)
BROKERS = st.integers(0, 1)
STEPS = st.one_of(
    st.tuples(st.just("grant"), BROKERS, st.sampled_from(PROGRAMS)),
    st.tuples(st.just("renew"), BROKERS, st.sampled_from(PROGRAMS), st.integers(0, 9)),
    st.tuples(st.just("end"), BROKERS, st.integers(0, 9)),
    st.tuples(st.just("revoke"), BROKERS, st.sampled_from(PROGRAMS)),
    st.tuples(st.just("lift"), BROKERS, st.sampled_from(PROGRAMS)),
    st.tuples(st.just("wait"), BROKERS, st.sampled_from([1, SECONDS - 1, SECONDS])),
)


class Model:
    """What has to be true, kept apart from the store: who holds a lease until when, and who is revoked."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.held = {}  # lease id: (program, end)
        self.revoked = set()

    def clock(self):
        return self.now

    def live(self):
        return {key: program for key, (program, end) in self.held.items() if end > self.now}


def asked_by(program):
    return LeaseRequest(
        tenant="default", secret=str(SECRET), rule="r", holder="", protocol="kbs", peer="", measurement=program,
        platform="", tcb_status="", marks=(("measurement", program),),
    )  # fmt: skip


def admitted(tx, program, lease_id=None):
    """Do what an admission does with leases and revocations."""
    asked = asked_by(program)
    if revocations.check(tx, "default", SECRET, asked.marks):
        return None
    renewed = leases.renew(tx, lease_id, asked, seconds=SECONDS) if lease_id else None
    return renewed or leases.grant(tx, asked, seconds=SECONDS, limit=LIMIT)


def step(model, store, action, *words):
    """Run one step on the store and on the model, and compare what came of it."""
    match action, words:
        case ("grant", (program,)):
            check(model, program, store.write(lambda tx: admitted(tx, program)), renewing=None)
        case ("renew", (program, place)):
            lease_id = next(itertools.islice(model.held, place, None), "never")
            check(model, program, store.write(lambda tx: admitted(tx, program, lease_id)), renewing=lease_id)
        case ("end", (place,)):
            lease_id = next(itertools.islice(model.held, place, None), "never")
            ended = store.write(lambda tx: leases.end(tx, lease_id))
            assert (ended is not None) == (lease_id in model.live())
            model.held.pop(lease_id, None)
        case ("revoke", (program,)):
            store.write(lambda tx: revocations.revoke(tx, kind="measurement", value=program, author="a"))
            model.revoked.add(program)
            model.held = {key: held for key, held in model.held.items() if held[0] != program}
        case ("lift", (program,)):
            for each in store.read(revocations.active):
                if each.value == program:
                    store.write(lambda tx, each=each: revocations.lift(tx, each.id))
            model.revoked.discard(program)
        case ("wait", (seconds,)):
            model.now += timedelta(seconds=seconds)


def check(model, program, lease, *, renewing):
    may_renew = model.live().get(renewing) == program
    allowed = program not in model.revoked and (may_renew or len(model.live()) < LIMIT)
    assert (lease is not None) == allowed
    if lease is not None:
        assert (lease.id == renewing) == may_renew
        model.held[lease.id] = (program, model.now + timedelta(seconds=SECONDS))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25))
def test_kd_13_live_leases_never_exceed_the_limit_and_nothing_revoked_is_granted(steps):
    model = Model()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o700)
        path = Path(folder) / "broker.db"
        with closing(open_store(path, clock=model.clock)) as one, closing(open_store(path, clock=model.clock)) as two:
            for action, broker, *words in steps:
                step(model, (one, two)[broker], action, *words)
                found = {each.id: each.measurement for each in two.read(leases.live)}
                assert found == model.live()
                assert len(found) <= LIMIT
                assert not set(found.values()) & model.revoked
