"""Signed roots as notes that other tools read, proofs for outsiders, and what a witness remembers."""

import base64
import hashlib
import json
import struct

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.broker.ledger import merkle
from strongroom.broker.ledger.checkpoint import Checkpoint, NoteSignature, SignedCheckpoint, sign, verifier_key
from strongroom.broker.ledger.faults import CheckpointBad, LedgerBroken, LedgerRewritten, NoSuchLine, ProofBad
from strongroom.broker.ledger.proofs import LedgerProof, verify_proof
from strongroom.broker.ledger.proving import line_of_case, prove_line
from strongroom.broker.ledger.rollback import check_not_rolled_back

KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
ORIGIN = "strongroom-ledger/" + "ab" * 16
POINT = Checkpoint(ORIGIN, 7, bytes(range(32)), 1772600767089)


def test_a_signed_root_is_a_c2sp_signed_note():
    """Read as https://c2sp.org/signed-note says, without our own parser."""
    text, _, signature = sign(POINT, KEY).to_text().rpartition("\n\n")
    assert text.split("\n") == [ORIGIN, "7", base64.b64encode(bytes(range(32))).decode(), "time 1772600767089"]
    dash, name, blob = signature.rstrip("\n").split(" ")
    raw = base64.b64decode(blob)
    public = KEY.public_key().public_bytes_raw()
    assert (dash, name) == ("\u2014", ORIGIN)
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    KEY.public_key().verify(raw[4:], (text + "\n").encode())
    assert verifier_key(ORIGIN, KEY.public_key()) == (
        f"{ORIGIN}+{raw[:4].hex()}+{base64.b64encode(bytes([1]) + public).decode()}"
    )


def test_a_witness_adds_a_cosignature_with_its_own_time():
    """Read as https://c2sp.org/tlog-cosignature says, without our own parser."""
    note = sign(POINT, KEY).cosigned(WITNESS, name="witness.example", at_s=1772600999)
    line = note.to_text().rstrip("\n").split("\n")[-1]
    raw = base64.b64decode(line.split(" ")[2])
    public = WITNESS.public_key().public_bytes_raw()
    assert raw[:4] == hashlib.sha256(b"witness.example\n\x04" + public).digest()[:4]
    assert struct.unpack(">Q", raw[4:12]) == (1772600999,)
    message = b"cosignature/v1\ntime 1772600999\n" + POINT.to_text().encode()
    WITNESS.public_key().verify(raw[12:], message)
    found = SignedCheckpoint.parse(note.to_text())
    assert found.is_signed_by(KEY.public_key())
    assert found.cosigned_at(WITNESS.public_key()) == 1772600999
    assert found.cosigned_at(KEY.public_key()) is None
    assert not found.is_signed_by(WITNESS.public_key())
    again = found.cosigned(WITNESS, name="witness.example", at_s=1772601000)
    assert len(again.signatures) == 2  # the newer one took the place of the older


def test_sa_12_a_cosignature_over_another_checkpoint_does_not_count():
    note = sign(POINT, KEY).cosigned(WITNESS, name="w", at_s=5)
    other = SignedCheckpoint(Checkpoint(ORIGIN, 8, bytes(32), 1), note.signatures)
    assert other.cosigned_at(WITNESS.public_key()) is None
    assert not other.is_signed_by(KEY.public_key())
    short = SignedCheckpoint(POINT, (NoteSignature(ORIGIN, note.signatures[0].blob[:9]),))
    assert not short.is_signed_by(KEY.public_key())
    assert short.cosigned_at(WITNESS.public_key()) is None


def test_the_ledgers_signature_serves_for_no_other_ledger():
    blob = sign(POINT, KEY).signatures[0].blob
    other = Checkpoint("strongroom-ledger/" + "cd" * 16, POINT.size, POINT.root, POINT.time_ms)
    assert not SignedCheckpoint(other, (NoteSignature(other.origin, blob),)).is_signed_by(KEY.public_key())


@pytest.mark.parametrize("name", ["", "two words", "a+b", "x" * 201, "ü"])
def test_a_witness_has_a_name_that_fits_into_a_note(name):
    with pytest.raises(CheckpointBad):
        sign(POINT, KEY).cosigned(WITNESS, name=name, at_s=1)


@pytest.mark.parametrize(
    "change",
    [lambda text: text.replace("\n7\n", "\n07\n"), lambda text: text.replace("\n7\n", "\n0\n"),
     lambda text: text.replace("time ", "when "), lambda text: text.replace("\n\n", "\n"),
     lambda text: text.rstrip("\n"),
     lambda text: text.replace("strongroom-ledger", "another-log"), lambda text: text.replace("— ", "- "),
     lambda text: text.replace("\n\n", "\nmore\n\n"), lambda text: text + "— w %%%%\n", lambda text: text + "— w AAA\n",
     lambda text: text * 60, lambda text: text + "— w AAAAAAAA\n" * 20, lambda text: text.encode() + b"\xff",
     lambda text: text.replace("Hh8=", "Hh9=")],
)  # fmt: skip
def test_a_text_that_is_not_quite_a_checkpoint_is_refused(change):
    with pytest.raises(CheckpointBad) as refusal:
        SignedCheckpoint.parse(change(sign(POINT, KEY).to_text()))
    assert refusal.value.code == "SR-LEDGER-CHECKPOINT"


@pytest.fixture
def full(book):
    book.decide(5)
    book.ledger.sign_root()
    book.decide(5)
    return book


def test_sa_14_a_proof_is_checked_with_nothing_but_the_public_key(full):
    proof = LedgerProof.from_json(prove_line(full.ledger, 4).to_json())
    entry = verify_proof(proof, [full.ledger.public_key])
    assert (entry["seq"], entry["id"]) == (4, "case2")
    assert proof.checkpoint.checkpoint.size == 7  # the newest root that was there
    assert prove_line(full.ledger, 9).checkpoint.checkpoint.size == 13  # a new one


def test_sa_14_a_proof_can_begin_at_a_checkpoint_that_the_reader_has(full):
    older = full.ledger.last_root()
    full.decide(20)
    proof = prove_line(full.ledger, 20, older=older)
    assert verify_proof(proof, [full.ledger.public_key], seen=older)["seq"] == 20
    with pytest.raises(ProofBad) as refusal:
        verify_proof(prove_line(full.ledger, 20), [full.ledger.public_key], seen=older)
    assert refusal.value.code == "SR-LEDGER-PROOF"
    newer = full.ledger.sign_root()
    full.decide()
    assert prove_line(full.ledger, 3, older=newer).checkpoint == newer


def test_sa_14_every_line_can_be_proved_that_of_the_newest_root_too(book):
    for seq in range(4):
        proof = prove_line(book.ledger, seq)
        assert verify_proof(proof, [book.ledger.public_key])["seq"] == seq
    book.ledger.verify()


def test_a_case_is_found_by_its_id(full):
    full.write({"kind": "grace", "id": "case3"}, {"kind": "decision", "id": "casex", "peer": "case3"})
    assert line_of_case(full.ledger, "case3") == 11
    for ask in (lambda: line_of_case(full.ledger, "case99"), lambda: prove_line(full.ledger, 99),
                lambda: prove_line(full.ledger, -1)):  # fmt: skip
        with pytest.raises(NoSuchLine) as refusal:
            ask()
        assert refusal.value.code == "SR-LEDGER-NO-LINE"


def replaced(proof, **changes):
    fields = json.loads(proof.to_json()) | changes
    return LedgerProof.from_json(json.dumps(fields).encode())


def test_sa_14_each_part_of_a_proof_has_to_fit(full):
    older = full.ledger.last_root()
    proof = prove_line(full.ledger, 9, older=older)
    keys = [full.ledger.public_key]
    stranger = sign(proof.checkpoint.checkpoint, Ed25519PrivateKey.generate()).to_text()
    point = older.checkpoint
    elsewhere = sign(Checkpoint("strongroom-ledger/" + "cd" * 16, point.size, point.root, 1), full.signer).to_text()
    changes = [
        ({"line": proof.line.decode().replace("granted", "denied!")}, "do not lead"),
        ({"seq": 8}, "do not lead"),
        ({"inclusion": []}, "do not lead"),
        ({"consistency": []}, "does not begin with"),
        ({"older": None}, "from no checkpoint"),
        ({"older": elsewhere}, "another ledger"),
        ({"checkpoint": stranger}, "not signed by the key"),
        ({"older": stranger}, "not signed by the key"),
    ]
    assert verify_proof(proof, keys)
    for change, sentence in changes:
        with pytest.raises((ProofBad, CheckpointBad), match=sentence):
            verify_proof(replaced(proof, **change), keys)


@pytest.mark.parametrize(
    "change",
    [{"format": "other"}, {"line": 5}, {"seq": True}, {"seq": -1}, {"seq": "4"}, {"inclusion": "x"}, {"inclusion": [5]},
     {"inclusion": ["ab"]}, {"inclusion": ["00" * 32] * 200}, {"key": None}, {"checkpoint": 7}, {"older": 7},
     {"more": 1}],
)  # fmt: skip
def test_a_file_that_is_no_proof_is_refused(full, change):
    with pytest.raises(ProofBad):
        replaced(prove_line(full.ledger, 4), **change)


def test_a_leaf_that_is_no_line_proves_nothing(full):
    for leaf in (b"nonsense", b'{"seq":1,"time":"","prev":"","kind":""}'):
        signed = sign(Checkpoint(full.ledger.origin, 1, merkle.leaf_hash(leaf), 1), full.signer)
        proof = LedgerProof(line=leaf, seq=0, inclusion=(), checkpoint=signed, key="k")
        with pytest.raises(ProofBad):
            verify_proof(proof, [full.ledger.public_key])


def test_sa_12_a_witness_elsewhere_notices_that_store_and_memory_were_rolled_back(full, tmp_path):
    saved = {file.name: file.read_bytes() for file in closed(full).parent.iterdir()}
    full.open()
    full.decide(3)
    seen = tmp_path / "seen.checkpoint"
    seen.write_text(full.ledger.sign_root().cosigned(WITNESS, name="w", at_s=1).to_text())
    check_not_rolled_back(full.ledger, full.store, witnesses=[seen], witness_keys=[WITNESS.public_key()])
    for name, content in saved.items():
        (closed(full).parent / name).write_bytes(content)
    full.open()
    check_not_rolled_back(full.ledger, full.store)  # without a witness nothing shows
    with pytest.raises(LedgerBroken) as refusal:
        check_not_rolled_back(full.ledger, full.store, witnesses=[seen])
    assert refusal.value.code == "SR-LEDGER-ROLLED-BACK"


def closed(book):
    book.close()
    return book.path


def test_sa_12_what_a_witness_did_not_sign_is_no_witness(full, book_in, tmp_path):
    seen = tmp_path / "seen.checkpoint"
    seen.write_text(full.ledger.sign_root().to_text())
    with pytest.raises(CheckpointBad, match="no signature of a witness"):
        check_not_rolled_back(full.ledger, full.store, witnesses=[seen], witness_keys=[WITNESS.public_key()])
    seen.write_text(sign(full.ledger.last_root().checkpoint, WITNESS).to_text())
    with pytest.raises(CheckpointBad, match="not signed by this ledger's key"):
        check_not_rolled_back(full.ledger, full.store, witnesses=[seen])
    (tmp_path / "other").mkdir()
    seen.write_text(book_in(tmp_path / "other", signer=full.signer).ledger.last_root().to_text())
    with pytest.raises(LedgerRewritten, match="another ledger"):
        check_not_rolled_back(full.ledger, full.store, witnesses=[seen])


def test_sa_12_an_older_memory_is_not_written_over_by_a_store_put_back(full):
    head = full.ledger.head_file
    old = closed(full).read_bytes()
    full.open()
    full.decide(30)
    full.ledger.sign_root()
    newest = head.read_text()
    closed(full).write_bytes(old)
    full.open()
    for sign_it in (full.ledger.sign_root, lambda: (full.pass_time(3600), full.ledger.maintain())):
        with pytest.raises(LedgerBroken) as refusal:
            sign_it()
        assert refusal.value.code == "SR-LEDGER-ROLLED-BACK"
    assert head.read_text() == newest


def test_a_root_that_cannot_be_remembered_is_said_and_does_not_stop_the_broker(full, caplog):
    full.ledger.head_file.unlink()
    full.ledger.head_file.mkdir()
    full.ledger._memory_checked = True
    full.ledger.sign_root()
    assert "could not be remembered" in caplog.text
