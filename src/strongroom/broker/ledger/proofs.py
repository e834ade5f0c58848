"""A proof that one line stands in the ledger, as a file that an outsider checks with the ledger's public key alone.

Pure. It holds the line, its place among the leaves, the hashes that lead to a root, and that root signed; where an
older checkpoint is at hand, also the hashes that show that the ledger only grew since. The rest of the ledger stays
with its owner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from strongroom.broker.ledger import chain, merkle
from strongroom.broker.ledger.checkpoint import SignedCheckpoint
from strongroom.broker.ledger.faults import CheckpointBad, LedgerBroken, ProofBad
from strongroom.broker.ledger.merkle import Proof
from strongroom.wire import strict_json

FORMAT: Final = "strongroom-ledger-proof/1"
MAX_PROOF_BYTES: Final = 256 * 1024
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
_FIELDS: Final = {"format", "line", "seq", "inclusion", "checkpoint", "key", "older", "consistency"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProof:
    """A proof, not checked yet. `line` has no newline; `key` is the id of the key that signed the checkpoint."""

    line: bytes
    seq: int
    inclusion: Proof
    checkpoint: SignedCheckpoint
    key: str
    older: SignedCheckpoint | None = None
    consistency: Proof = ()

    def to_json(self) -> bytes:
        """Return the proof as a file."""
        fields = {
            "format": FORMAT,
            "line": self.line.decode(),
            "seq": self.seq,
            "inclusion": [each.hex() for each in self.inclusion],
            "checkpoint": self.checkpoint.to_text(),
            "key": self.key,
            "older": self.older and self.older.to_text(),
            "consistency": [each.hex() for each in self.consistency],
        }
        return json.dumps(fields, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> LedgerProof:
        """Read what `to_json` wrote. Raises ProofBad or CheckpointBad."""
        fields = strict_json.loads(data, what="the proof", error=ProofBad, max_bytes=MAX_PROOF_BYTES)
        if not isinstance(fields, dict) or fields.keys() != _FIELDS or fields["format"] != FORMAT:
            raise ProofBad(f"this is not a proof of the format {FORMAT}")
        older = fields["older"]
        return cls(
            line=_text(fields, "line").encode("utf-8", "replace"),
            seq=_number(fields["seq"]),
            inclusion=_hashes(fields["inclusion"]),
            checkpoint=SignedCheckpoint.parse(_text(fields, "checkpoint")),
            key=_text(fields, "key"),
            older=None if older is None else SignedCheckpoint.parse(_text(fields, "older")),
            consistency=_hashes(fields["consistency"]),
        )


def verify_proof(
    proof: LedgerProof, keys: Sequence[Ed25519PublicKey], *, seen: SignedCheckpoint | None = None
) -> dict[str, Any]:
    """Return the entry that the proof is about, once everything in it holds. Raises ProofBad or CheckpointBad.

    `seen`: a checkpoint that the verifier has from before; the proof has to lead from it to its own.
    """
    point = proof.checkpoint.checkpoint
    # 1. One of the keys signed the root, and the older root if there is one.
    for signed in (proof.checkpoint, proof.older):
        if signed is not None and not any(signed.is_signed_by(key) for key in keys):
            raise CheckpointBad("the checkpoint in the proof is not signed by the key given")
    # 2. The line is the leaf of its number under that root.
    if not merkle.includes(
        merkle.leaf_hash(proof.line), proof.seq, size=point.size, root=point.root, proof=proof.inclusion
    ):
        raise ProofBad(f"the hashes do not lead from this line, as number {proof.seq}, to the signed root")
    # 3. The line says of itself what the proof says.
    try:
        entry = chain.read_line(proof.line, seq=proof.seq)
    except LedgerBroken as problem:
        raise ProofBad(f"what is proved is no ledger line: {problem.sentence}") from None
    if type(entry["seq"]) is not int or entry["seq"] != proof.seq:
        raise ProofBad(f"the line does not call itself number {proof.seq}")
    # 4. The ledger only grew since the older checkpoint.
    if seen is not None and (proof.older is None or proof.older.checkpoint != seen.checkpoint):
        raise ProofBad("the proof does not begin at the checkpoint that you remember")
    _check_grown(proof)
    return entry


def _check_grown(proof: LedgerProof) -> None:
    if proof.older is None:
        if proof.consistency:
            raise ProofBad("the proof holds hashes that lead from no checkpoint")
        return
    old, new = proof.older.checkpoint, proof.checkpoint.checkpoint
    if old.origin != new.origin:
        raise ProofBad("the proof leads from the checkpoint of another ledger")
    if not merkle.extends(old.size, old.root, new.size, new.root, proof=proof.consistency):
        raise ProofBad(f"the ledger of {new.size} lines does not begin with the {old.size} of the older checkpoint")


def _text(fields: dict[str, Any], name: str) -> str:
    if not isinstance(fields[name], str):
        raise ProofBad(f"{name} in the proof is not text")
    return str(fields[name])


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ProofBad("seq in the proof is not a line's number")
    return value


def _hashes(value: object) -> Proof:
    if not isinstance(value, list) or len(value) > merkle.MAX_PROOF_HASHES:
        raise ProofBad("the proof's hashes are not a short list")
    if not all(isinstance(each, str) and _HASH.match(each) for each in value):
        raise ProofBad("the proof holds something that is no SHA-256 in hex")
    return tuple(bytes.fromhex(each) for each in value)
