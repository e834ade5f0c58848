"""Through a listening broker: a grace leaves its record, old collateral is refused, evidence is kept for later."""

import json
import stat
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation import INTEL, Anchor, TcbStatus, TdAttributes, Tee, verify
from strongroom.attestation.recorded import RecordedEvidence
from strongroom.attestation.rollback import CollateralRollback, RollbackStateBroken, SeenNumbers
from strongroom.broker.recorder import EvidenceRecorder, fingerprint
from strongroom.broker.rollback_guard import RollbackGuard, RollbackStateUnwritable, seen_in, seen_numbers
from strongroom.broker.store.errors import StoreUnavailable
from strongroom.broker.store.opening import open_store
from strongroom.cli.ledger_show import lines_of
from strongroom.pki.disk import LoosePermissions
from strongroom.platforms.simulated.hardware import Rehearsal
from strongroom.platforms.simulated.identities import TdIdentity

DAY = timedelta(days=1)


class Aged:
    """Collateral that is as old as the test wants, with the evaluation number that it wants."""

    def __init__(self, world, **rehearsal):
        self.world = world
        self.rehearse(**rehearsal)

    def rehearse(self, **rehearsal):
        self.collateral = self.world.collateral(datetime.now(UTC), Rehearsal(**rehearsal))

    def collateral_for(self, _quote):
        return self.collateral


GRACE = "collateral_grace_period_seconds = {}\nmax_collateral_age_days = 60"


def test_tcb_11_each_use_of_the_collateral_grace_is_recorded_and_announced(broker_with, replica, texts, caplog):
    rule_text, policy_text = texts
    over = Aged(replica.world, age=31 * DAY)
    with broker_with(policy_text(rule_text(extra=GRACE.format(5 * 86400))), source=over) as broker:
        for uses in (1, 2):
            assert len(broker.provision(replica)) == 16
            records = broker.entries("grace")
            assert len(records) == uses
        assert records[-1]["id"] == broker.decisions()[-1]["id"]
        assert records[-1]["rule"] == "replica"
        assert records[-1]["expired_collateral"]
        assert broker.decisions()[-1]["evidence"]["in_grace"] == records[-1]["expired_collateral"]
        assert "GRACE used by rule 'replica'" in caplog.text
        over.rehearse()
        broker.provision(replica)
        assert len(broker.entries("grace")) == 2


def test_tcb_10_each_rule_judges_its_own_grace(broker_with, replica, texts, refusal, credentials_for):
    rule_text, policy_text = texts
    short = rule_text(extra=GRACE.format(3600))
    other = rule_text(name="other", identity=f'mrenclave = "{"0f" * 32}"', extra=GRACE.format(90 * 86400))
    with broker_with(policy_text(short, other), source=Aged(replica.world, age=40 * DAY)) as broker:
        assert "POLICY_EXPIRED" in refusal(broker, credentials_for())
        assert broker.entries("grace") == []


def test_tcb_08_old_collateral_is_refused_also_after_a_restart(broker_with, replica, refusal, credentials_for):
    source = Aged(replica.world, evaluation_number=19, qe_evaluation_number=20)
    with broker_with(source=source) as broker:
        broker.provision(replica)
        source.rehearse()
        assert refusal(broker, credentials_for()) == ["SR-COLLATERAL-ROLLBACK"]
    with broker_with(source=source) as broker:
        assert refusal(broker, credentials_for()) == ["SR-COLLATERAL-ROLLBACK"]
        source.rehearse(evaluation_number=20, qe_evaluation_number=20)
        broker.provision(replica)


def test_tcb_08_a_number_counts_also_where_it_was_seen_on_a_denial(
    broker_with, replica, texts, refusal, credentials_for
):
    """Else newer collateral, under which the platform is refused, could be answered with older."""
    source = Aged(replica.world, evaluation_number=19, qe_evaluation_number=20, status=TcbStatus.OUT_OF_DATE)
    with broker_with(source=source) as broker:
        assert refusal(broker, credentials_for()) == ["POLICY_TCB_STATUS"]
        source.rehearse()
        assert refusal(broker, credentials_for()) == ["SR-COLLATERAL-ROLLBACK"]


def test_tcb_08_what_another_broker_saw_counts_here_too(broker_with, replica, verdict_of, refusal, credentials_for):
    with broker_with() as broker:
        assert len(broker.provision(replica)) == 16
        verdict = verdict_of()
        number = min(verdict.tcb_eval, verdict.qe_eval) + 1
        RollbackGuard(broker.store).admit(replace(verdict, tcb_eval=number, qe_eval=number))
        assert refusal(broker, credentials_for()) == ["SR-COLLATERAL-ROLLBACK"]
        assert f"seen before: {number}" in broker.decisions()[-1]["reasons"][0]["observed"]


def test_id_10_a_trust_domain_gets_its_secret_by_its_registers(broker_with, replica, texts, refusal, credentials_for):
    rule_text, policy_text = texts
    domain = TdIdentity(mr_td=b"\xda" * 48, rtmrs=tuple(bytes([number]) * 48 for number in range(4)))
    registers = "\n".join(f'rtmr{number} = "{value.hex()}"' for number, value in enumerate(domain.rtmrs))
    rule = rule_text(identity=f'mrtd = "{"da" * 48}"\n{registers}')
    source = Aged(replica.world)
    source.collateral = replica.world.collateral(datetime.now(UTC), tee=Tee.TDX)
    with broker_with(policy_text(rule_text(name="enclave"), rule), source=source) as broker:
        assert len(broker.provision(replace(replica, identity=domain))) == 16
        [decision] = broker.decisions()
        assert (decision["rule"], decision["evidence"]["tee"]) == ("replica", "TDX")
        assert decision["evidence"]["rtmr3"] == "03" * 48
        assert "mr_td dada" in "".join(lines_of(decision))
        other = replace(domain, rtmrs=(*domain.rtmrs[:3], b"\xff" * 48))
        assert refusal(broker, credentials_for(other)) == ["POLICY_RTMR3"]  # of the rule for its kind of TEE
        under_debug = replace(domain, attributes=TdAttributes.SEPT_VE_DISABLE | TdAttributes.DEBUG)
        assert refusal(broker, credentials_for(under_debug)) == ["POLICY_DEBUG"]


@pytest.fixture
def store(tmp_path):
    with closing(open_store(tmp_path / "broker.db")) as opened:
        yield opened


def test_a_broken_or_readable_record_of_numbers_keeps_the_broker_from_starting(tmp_path, store):
    path = tmp_path / "seen"
    path.write_text("{}")
    with pytest.raises(LoosePermissions):
        RollbackGuard(store).take_over(path)
    path.chmod(0o600)
    with pytest.raises(RollbackStateBroken):
        RollbackGuard(store).take_over(path)


def test_tcb_08_the_file_of_an_earlier_broker_is_taken_over_once(tmp_path, store, verdict_of):
    verdict = verdict_of()
    path = tmp_path / "seen"
    path.touch(0o600)
    path.write_bytes(SeenNumbers().admit(replace(verdict, tcb_eval=99, qe_eval=99)).to_json())
    RollbackGuard(store).take_over(path)
    assert not path.exists()
    with pytest.raises(CollateralRollback):
        RollbackGuard(store).admit(verdict)
    RollbackGuard(store).take_over(path, ledger=[{"evidence": None}])


def test_tcb_08_a_file_that_is_older_than_the_store_lowers_nothing(tmp_path, store, verdict_of):
    verdict = verdict_of()
    RollbackGuard(store).admit(verdict)
    path = tmp_path / "seen"
    path.touch(0o600)
    path.write_bytes(SeenNumbers().admit(replace(verdict, tcb_eval=1)).to_json())
    RollbackGuard(store).take_over(path)
    with pytest.raises(CollateralRollback):
        RollbackGuard(store).admit(replace(verdict, tcb_eval=verdict.tcb_eval - 1))


def test_tcb_08_without_its_record_the_ledger_tells_what_was_seen(tmp_path, broker_with, store, replica, caplog):
    source = Aged(replica.world, evaluation_number=19, qe_evaluation_number=20)
    with broker_with(source=source) as broker:
        broker.provision(replica)
        lines = list(broker.ledger.entries())
        kept = broker.store.read(seen_numbers)
    with closing(open_store(tmp_path / "another.db")) as another:
        guard = RollbackGuard(another)
        guard.take_over(tmp_path / "seen", ledger=lines)
        assert "is gone: the evaluation numbers seen were taken from the ledger" in caplog.text
        assert seen_in(lines).numbers == kept == another.read(seen_numbers)
        source.rehearse()
        anchors = [Anchor.from_certificate(replica.world.root_der)]
        now = datetime.now(UTC)
        old = verify(replica.quote(bytes(64)), source.collateral, anchors=anchors, at=now)
        with pytest.raises(CollateralRollback):
            guard.admit(old)


def test_lines_of_a_ledger_that_are_no_decision_on_a_quote_are_passed_over():
    said = {"tee": "SGX", "fmspc": "00906ED50000", "tcb_eval": 19, "trust_domain": "intel"}
    lines = [
        {},
        {"evidence": None},
        {"evidence": said | {"tcb_eval": None}},
        {"evidence": said | {"tee": "SEV"}},
        {"evidence": said | {"trust_domain": "simulated"}},
        {"evidence": said},
        {"evidence": said | {"tcb_eval": 17}},
    ]
    assert dict(seen_in(lines).numbers) == {(INTEL.root_key_id, Tee.SGX, "00906ED50000"): 19}


def test_a_number_that_cannot_be_remembered_is_not_admitted(tmp_path, verdict_of):
    store = open_store(tmp_path / "broker.db")
    guard = RollbackGuard(store)
    store.close()
    with pytest.raises(StoreUnavailable):
        guard.admit(verdict_of())


def test_a_record_that_cannot_be_put_away_keeps_the_broker_from_starting(tmp_path, store, verdict_of):
    path = tmp_path / "seen"
    path.touch(0o600)
    path.write_bytes(SeenNumbers().admit(verdict_of()).to_json())
    (tmp_path / "seen.taken").mkdir()
    (tmp_path / "seen.taken" / "something").touch()
    with pytest.raises(RollbackStateUnwritable) as refusal:
        RollbackGuard(store).take_over(path)
    assert refusal.value.code == "SR-ROLLBACK-STATE-WRITE"


def test_evidence_is_kept_once_for_each_kind_of_peer_and_is_sound(
    broker_with, replica, tmp_path, refusal, credentials_for
):
    folder = tmp_path / "evidence"
    with broker_with(record=folder) as broker:
        broker.provision(replica)
        broker.provision(replica)
        assert refusal(broker, credentials_for(replace(replica.identity, mr_enclave=b"\x0f" * 32))) == [
            "POLICY_MRENCLAVE"
        ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert len(files) == 2
    found = set()
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        record = RecordedEvidence.from_json(path.read_bytes())
        anchors = [Anchor.from_certificate(replica.world.root_der)]
        verdict = verify(record.quote, record.collateral, anchors=anchors, at=record.at)
        assert path.stem == fingerprint(verdict)
        found.add(verdict.body.mr_enclave)
    assert found == {b"\xe1" * 32, b"\x0f" * 32}


def test_no_more_evidence_is_kept_than_was_agreed(tmp_path, verdict_of, collateral, caplog):
    @dataclass
    class Found:
        verdict: object
        quote: bytes
        collateral: object

    recorder = EvidenceRecorder(tmp_path / "evidence", most=2)
    verdict = verdict_of()
    for number in range(4):
        other = replace(verdict, body=replace(verdict.body, isv_svn=number))
        recorder.keep(Found(other, b"quote", collateral), at=datetime.now(UTC))
    assert len(list((tmp_path / "evidence").iterdir())) == 2
    assert "no more are recorded" in caplog.text
    again = EvidenceRecorder(tmp_path / "evidence", most=2)
    again.keep(Found(verdict, b"quote", collateral), at=datetime.now(UTC))
    assert len(list((tmp_path / "evidence").iterdir())) == 2
    [first, _] = (tmp_path / "evidence").iterdir()
    assert set(json.loads(first.read_text())) == {"quote", "collateral", "at"}


def test_a_folder_that_others_can_enter_takes_no_evidence(tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(LoosePermissions):
        EvidenceRecorder(tmp_path)
