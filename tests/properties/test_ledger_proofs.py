"""Whatever the ledger: every proof verifies, and no proof survives a change of any part of it."""

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.broker.ledger import chain, merkle
from strongroom.broker.ledger.audit import audit
from strongroom.broker.ledger.checkpoint import Checkpoint, SignedCheckpoint, origin_of, sign
from strongroom.broker.ledger.faults import CheckpointBad, LedgerBroken
from strongroom.broker.ledger.proofs import LedgerProof, verify_proof
from strongroom.errors import StrongroomError

AT = datetime(2026, 3, 4, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
LEAVES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def hashes(leaves):
    return [merkle.leaf_hash(leaf) for leaf in leaves]


def proof_of(ranges, leaves):
    return merkle.prove(ranges, lambda low, high: merkle.root_of(leaves[low:high]))


@given(LEAVES, st.data())
def test_sa_10_every_inclusion_proof_verifies_and_no_other(leaves, data):
    leaves = hashes([leaf + bytes([number]) for number, leaf in enumerate(leaves)])
    size, root = len(leaves), merkle.root_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(merkle.inclusion_ranges(index, size), leaves)
    assert merkle.includes(leaves[index], index, size=size, root=root, proof=proof)
    # Another leaf, another index, another root, another size with another root, one hash more or less or changed.
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index or size == 1))
    if size > 1:
        assert not merkle.includes(leaves[other], index, size=size, root=root, proof=proof)
        assert not merkle.includes(leaves[index], other, size=size, root=root, proof=proof)
        assert not merkle.includes(leaves[index], index, size=size, root=root, proof=proof[:-1])
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], flipped(proof[place], data), *proof[place + 1 :]]
        assert not merkle.includes(leaves[index], index, size=size, root=root, proof=changed)
    assert not merkle.includes(leaves[index], index, size=size, root=flipped(root, data), proof=proof)
    assert not merkle.includes(leaves[index], index, size=size, root=root, proof=[*proof, bytes(32)])
    for wrong in (2 * size, 4 * size + 1):
        assert not merkle.includes(leaves[index], index, size=wrong, root=root, proof=proof)


@given(LEAVES, st.data())
def test_sa_10_every_consistency_proof_verifies_and_no_other(leaves, data):
    leaves = hashes([leaf + bytes([number]) for number, leaf in enumerate(leaves)])
    new = len(leaves)
    old = data.draw(st.integers(1, new))
    before, after = merkle.root_of(leaves[:old]), merkle.root_of(leaves)
    proof = proof_of(merkle.consistency_ranges(old, new), leaves)
    assert merkle.extends(old, before, new, after, proof=proof)
    assert not merkle.extends(old, flipped(before, data), new, after, proof=proof)
    assert not merkle.extends(old, before, new, flipped(after, data), proof=proof)
    assert not merkle.extends(old, before, new, after, proof=[*proof, bytes(32)])
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], flipped(proof[place], data), *proof[place + 1 :]]
        assert not merkle.extends(old, before, new, after, proof=changed)
        assert not merkle.extends(old, before, new, after, proof=proof[:-1])
    other = data.draw(st.integers(1, new).filter(lambda size: size != old or new == 1))
    if new > 1:
        assert not merkle.extends(other, before, new, after, proof=proof)


def flipped(value, data):
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    return bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(value))


@given(LEAVES)
def test_a_frontier_grows_as_the_tree_does(leaves):
    tree = merkle.Frontier()
    for count, leaf in enumerate(hashes(leaves), 1):
        tree = tree.grown(leaf)
        assert tree.size == count
        assert len(tree.peaks) == count.bit_count()
        assert merkle.Frontier.from_bytes(count, tree.to_bytes()) == tree
    assert tree.root() == split_root(hashes(leaves))


def split_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    middle = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + split_root(leaves[:middle]) + split_root(leaves[middle:])).digest()


def written(count):
    """Return the lines of a ledger with a signed root in the middle, and its last checkpoint."""
    head, tree, lines, signed = chain.EMPTY, merkle.Frontier(), [], None
    for number in range(count):
        record = {"kind": "genesis", "version": 2, "salt": "00" * 16} if not number else {"kind": "decision", "id": "x"}
        if number == count // 2 and number:
            signed = sign(Checkpoint(origin_of(lines[0]), number, tree.root(), 1), KEY)
            record = {"kind": "root", "size": number, "checkpoint": signed.to_text()}
        line, head = chain.write_line(head, record, at=AT)
        lines.append(line[:-1])
        tree = tree.grown(merkle.leaf_hash(line[:-1]))
    return lines, sign(Checkpoint(origin_of(lines[0]), count, tree.root(), 2), KEY)


LINES, SIGNED = written(9)


@given(st.data())
@settings(max_examples=3 * settings.default.max_examples)
def test_sa_10_any_changed_byte_or_line_of_a_ledger_is_found(data):
    lines = list(LINES)
    place = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["flip", "remove", "swap", "repeat", "cut"])):
        case "flip":
            lines[place] = flipped(lines[place], data)
        case "remove":
            del lines[place]
        case "repeat":
            lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
        case "cut":
            del lines[place:]
        case "swap":
            other = data.draw(st.integers(0, len(lines) - 1).filter(lambda number: number != place))
            lines[place], lines[other] = lines[other], lines[place]
    with pytest.raises(LedgerBroken):
        audit(lines, keys=[KEY.public_key()], checkpoints=[SIGNED.checkpoint])


def proof():
    leaves = hashes(LINES)
    older = sign(Checkpoint(origin_of(LINES[0]), 3, merkle.root_of(leaves[:3]), 1), KEY)
    return LedgerProof(
        line=LINES[6], seq=6, inclusion=proof_of(merkle.inclusion_ranges(6, 9), leaves), checkpoint=SIGNED, key="k",
        older=older, consistency=proof_of(merkle.consistency_ranges(3, 9), leaves),
    )  # fmt: skip


def test_sa_14_any_changed_byte_of_a_proof_is_refused_or_says_the_same():
    text = proof().to_json()
    assert verify_proof(LedgerProof.from_json(text), [KEY.public_key()])["seq"] == 6
    for place in range(len(text)):
        changed = bytes([*text[:place], text[place] ^ 1, *text[place + 1 :]])
        try:
            found = LedgerProof.from_json(changed)
            verify_proof(found, [KEY.public_key()])
        except StrongroomError as refusal:
            assert refusal.code in {"SR-LEDGER-PROOF", "SR-LEDGER-CHECKPOINT"}
            continue
        # What is left: white space between fields, and the name of the key, which is for people.
        assert (found.line, found.seq, found.checkpoint.checkpoint) == (LINES[6], 6, SIGNED.checkpoint)


@given(st.binary(max_size=400))
def test_parsers_raise_nothing_but_their_own_errors(data):
    for parse in (SignedCheckpoint.parse, LedgerProof.from_json):
        with pytest.raises(StrongroomError):
            parse(data)


@given(st.text(max_size=200), st.integers(0, 5))
def test_a_checkpoint_with_anything_put_into_it_is_refused_or_is_the_same(text, place):
    lines = SIGNED.to_text().split("\n")
    lines.insert(place, text)
    try:
        found = SignedCheckpoint.parse("\n".join(lines))
    except CheckpointBad as refusal:
        assert refusal.code == "SR-LEDGER-CHECKPOINT"
        return
    assert found.checkpoint == SIGNED.checkpoint or not found.is_signed_by(KEY.public_key())
